/* SPDX-License-Identifier: Apache-2.0 */
/* The control plane under load: simulated workers (real agents: their own connections with CURVE, leases, beats, questions) in a
 * few processes against the real dispatcher, its log and its locks. Says what the coordinator needs and how long a question
 * waits.
 *
 * usage: bench_control [workers [seconds [seconds between a worker's questions]]] */
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/base/stop.h"
#include "coordinator/dispatch/dispatch.h"
#include "worker/agent.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROCESSES 4
#define STEP 0.1 /* seconds */
#define ANSWERS_MOST 1000000u

/* Between all processes. Seconds are of the monotonic clock, which is one for the machine. */
static struct shared {
    atomic_uint started, answers, lost;
    _Atomic double all_at; /* when the last worker had its lease; 0: not yet */
    float waited[ANSWERS_MOST];
} * shared;

static unsigned workers = 1000;
static double seconds = 30, between = 10;
static char connection[64];

/* ---- a worker's work: steps that take time, and a question now and then ---- */

static int ask(const struct observer *o, uint32_t epoch, struct error *e)
{
    struct epoch_report r = {.epoch = epoch, .train_loss = 0.5, .logits = "/logits.h5"};
    struct epoch_decision v = {0};
    double start = clock_seconds();
    if (o->epoch(o->context, &r, &v, e))
        return -1;
    if (shared->all_at > 0 && start > shared->all_at) {
        unsigned i = atomic_fetch_add(&shared->answers, 1);
        if (i < ANSWERS_MOST)
            shared->waited[i] = (float)(clock_seconds() - start);
    }
    free(v.metrics);
    return 0;
}

static int train(struct trainer_result *ret, const struct trial *t, struct device *d, struct communicator *c,
                 const struct observer *o, struct error *e)
{
    (void)d, (void)c;
    uint64_t step = 0;
    uint32_t epoch = 0;
    double next = clock_seconds() + between * ((double)(t->seed % 997) / 997); /* not all at once */
    if (atomic_fetch_add(&shared->started, 1) + 1 == workers)
        shared->all_at = clock_seconds();
    while (!(shared->all_at > 0) || clock_seconds() < shared->all_at + seconds) {
        struct step_report r = {.step = ++step, .steps = 1000000, .epoch = epoch + 1, .epochs = 1000, .loss = 0.5};
        o->step(o->context, &r);
        clock_sleep(STEP);
        if (stop_check(e))
            return -1;
        if (clock_seconds() < next)
            continue;
        next += between;
        if (ask(o, ++epoch, e))
            return -1;
    }
    *ret = (struct trainer_result){
        .epochs_done = 1, .best_epoch = 1, .steps = step, .seconds = seconds, .best_weights = duplicate("/best")};
    return 0;
}

static void *run_worker(void *argument)
{
    struct error e = {0};
    struct communicator *c;
    struct agent_work work = agent_fake; /* but for what it does with a trial */
    work.train = train;
    char *group = format_string("w-%u", (unsigned)(uintptr_t)argument);
    struct agent_options o = {.connection = connection, .device = "simulated", .group = group, .threads = 1};
    int code;
    if (communicator_create(&c, "self", 1, 60, &e) || agent_run(&code, &o, &work, c, &e)) {
        atomic_fetch_add(&shared->lost, 1);
        fprintf(stderr, "%s: %s\n", group, e.message);
    } else {
        c->run->destroy(c);
    }
    free(group);
    return NULL;
}

static void run_process(unsigned first, unsigned count)
{
    pthread_t *threads = allocate(count, sizeof *threads);
    pthread_attr_t small;
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max; /* a dozen a worker; the coordinator sees to its own */
    setrlimit(RLIMIT_NOFILE, &files);
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 256 << 10);
    while (!file_exists(connection))
        clock_sleep(0.05);
    for (unsigned i = 0; i < count; i++)
        if (pthread_create(&threads[i], &small, run_worker, (void *)(uintptr_t)(first + i)))
            exit(1);
    for (unsigned i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    _exit(0);
}

/* ---- the coordinator ---- */

static struct {
    double began, from, to, cpu_from, cpu_to;
    int files;
} seen;

static int open_files(void)
{
    DIR *directory = opendir("/proc/self/fd");
    int count = -3; /* ".", ".." and the directory itself */
    while (directory && readdir(directory))
        count++;
    if (directory)
        closedir(directory);
    return count;
}

static int on_epoch(void *context, size_t i, uint32_t epoch, double train_loss, struct dispatch_decision *ret, struct error *e)
{
    (void)context, (void)i, (void)e;
    if (!(seen.from > 0) && shared->all_at > 0) {
        seen.from = clock_seconds();
        seen.cpu_from = clock_cpu();
        seen.files = open_files();
    }
    ret->best = true;
    ret->metrics = json_object();
    json_set_number(ret->metrics, "epoch", epoch);
    json_set_number(ret->metrics, "train_loss", train_loss);
    return 0;
}

static int on_end(void *context, size_t i, const struct dispatch_result *result, const struct error *why, struct error *e)
{
    (void)context, (void)i;
    if (!result)
        return error_set(e, ERROR_FAILED, "a worker failed: %s", why->message);
    if (!(seen.to > 0)) {
        seen.to = clock_seconds();
        seen.cpu_to = clock_cpu();
    }
    return 0;
}

static int compare(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void report(void)
{
    unsigned n = atomic_load(&shared->answers);
    n = n < ANSWERS_MOST ? n : ANSWERS_MOST;
    qsort(shared->waited, n, sizeof *shared->waited, compare);
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    printf("%u workers, a beat a second, a question every %.0f s each; all had a lease after %.1f s\n", workers, between,
           shared->all_at - seen.began);
    printf("coordinator, over %.0f s: CPU %.1f %% of a core, peak memory %.0f MB, %d open files\n", seen.to - seen.from,
           100 * (seen.cpu_to - seen.cpu_from) / (seen.to - seen.from), (double)u.ru_maxrss / 1024, seen.files);
    if (n)
        printf("%u questions (EPOCH to EPOCH_DECISION): p50 %.1f ms, p99 %.1f ms, longest %.1f ms; workers lost %u\n", n,
               1e3 * (double)shared->waited[n / 2], 1e3 * (double)shared->waited[(size_t)n * 99 / 100],
               1e3 * (double)shared->waited[n - 1], atomic_load(&shared->lost));
}

static int run(const char *directory, struct error *e)
{
    struct dispatch_options o = {.directory = directory,
                                 .worker = "bench_control",
                                 .launcher = LAUNCHER_NONE,
                                 .groups = (int)workers,
                                 .ranks_per_group = 1,
                                 .threads = 1,
                                 .heartbeat_timeout = 30,
                                 .restarts = 0};
    struct trial *trials = allocate(workers, sizeof *trials);
    struct dispatch_observer observer = {.epoch = on_epoch, .ended = on_end};
    struct dispatch *d = NULL;
    struct event_log *log = NULL;
    for (unsigned i = 0; i < workers; i++) {
        trials[i] = (struct trial){.key = format_string("t-%u", i),
                                   .directory = duplicate("/f"),
                                   .dataset = duplicate("/d"),
                                   .model = duplicate("/m"),
                                   .labels = 2,
                                   .epochs = 1000,
                                   .seed = i * 7919u,
                                   .precision = "f32"};
    }
    int result = event_log_open(&log, directory, e) || dispatch_create(&d, &o, log, e) ? -1 : 0;
    seen.began = clock_seconds();
    if (!result)
        result = dispatch_run(d, trials, workers, &observer, e);
    dispatch_destroy(&d, 0);
    event_log_close(&log);
    for (unsigned i = 0; i < workers; i++)
        trial_free(&trials[i]);
    free(trials);
    return result;
}

int main(int argc, char **argv)
{
    struct error e = {0};
    char directory[] = "/tmp/bench_control.XXXXXX";
    workers = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : workers;
    seconds = argc > 2 ? strtod(argv[2], NULL) : seconds;
    between = argc > 3 ? strtod(argv[3], NULL) : between;
    if (workers < PROCESSES || !(seconds > 0) || !(between > 0) || !mkdtemp(directory)) {
        fprintf(stderr, "usage: bench_control [workers [seconds [seconds between a worker's questions]]]\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    log_setup("bench_control", LOG_QUIET);
    snprintf(connection, sizeof connection, "%s/connection.json", directory);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t children[PROCESSES];
    for (unsigned p = 0; p < PROCESSES; p++)
        if (!(children[p] = fork()))
            run_process(workers * p / PROCESSES, workers * (p + 1) / PROCESSES - workers * p / PROCESSES);
    int result = run(directory, &e);
    if (result)
        fprintf(stderr, "bench_control: %s\n", e.message);
    for (unsigned p = 0; p < PROCESSES; p++) {
        if (result)
            kill(children[p], SIGKILL);
        waitpid(children[p], NULL, 0);
    }
    if (!result)
        report();
    directory_remove(directory, &e);
    return result ? 1 : 0;
}
