/* muster-worker: takes leases from a coordinator and carries them out. */
#include "common/base/fault.h"
#include "common/base/log.h"
#include "common/base/stop.h"
#include "common/base/version.h"
#include "proto/message.h"
#include "proto/trial.h"
#include "worker/agent.h"
#include "worker/bench.h"
#include "worker/train/memory.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#define CONNECT_TIMEOUT 120.0 /* seconds that ranks wait for each other until the coordinator says how long */

static const struct option long_options[] = {
    {"connection", required_argument, NULL, 'c'},
    {"comm", required_argument, NULL, 'm'},
    {"device", required_argument, NULL, 'd'},
    {"ranks", required_argument, NULL, 'r'},
    {"threads", required_argument, NULL, 't'},
    {"group", required_argument, NULL, 'g'},
    {"verbose", no_argument, NULL, 'v'},
    {"help", no_argument, NULL, 'h'},
    {0},
};

static const char *const help =
    "muster-worker " MUSTER_VERSION ": takes trials from a running muster and trains them\n"
    "  --connection FILE   connection.json in the run directory of a running muster (needed)\n"
    "  --comm self|mpi     one process alone, or one rank of an MPI job (default self)\n"
    "  --ranks N           ranks of a group; the MPI job is split into groups of them (default: one group)\n"
    "  --device NAME       auto, cpu, cpu_reference, guarded, fake (default auto)\n"
    "  --threads N         threads of this process (default 1)\n"
    "  --group TOKEN       name of this group in the run (default: made up)\n"
    "  -v                  say more\n"
    "MUSTER_TRACE=FILE in the environment: a trace of what each rank does when, for Perfetto.\n"
    "muster starts its workers itself; start one by hand for a job with cluster.launcher \"none\".\n";

struct settings {
    struct agent_options agent;
    const char *comm;
    int ranks; /* 0: all */
    bool verbose, help;
};

static int read_count(int *ret, const char *name, const char *text, struct error *e)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (!*text || *end || value < 1 || value > 4096)
        return error_set(e, ERROR_USAGE, "--%s: a number from 1 to 4096 expected, \"%s\" found", name, text);
    *ret = (int)value;
    return 0;
}

static int read_options(struct settings *s, int argc, char **argv, struct error *e)
{
    *s = (struct settings){.agent = {.device = "auto", .threads = 1, .trace = getenv("MUSTER_TRACE")}, .comm = "self"};
    opterr = 0;
    for (int key; (key = getopt_long(argc, argv, "+:vh", long_options, NULL)) != -1;) {
        if (key == '?' || key == ':')
            return error_set(e, ERROR_USAGE, "%s: unknown option or one without its value; see muster-worker --help",
                             argv[optind - 1]);
        if (key == 't' && read_count(&s->agent.threads, "threads", optarg, e))
            return -1;
        if (key == 'r' && read_count(&s->ranks, "ranks", optarg, e))
            return -1;
        const char **texts[128] = {
            ['c'] = &s->agent.connection, ['m'] = &s->comm, ['d'] = &s->agent.device, ['g'] = &s->agent.group};
        if (texts[key])
            *texts[key] = optarg;
        s->verbose |= key == 'v';
        s->help |= key == 'h';
    }
    if (optind < argc)
        return error_set(e, ERROR_USAGE, "%s: not expected; see muster-worker --help", argv[optind]);
    if (!s->help && !s->agent.connection)
        return error_set(e, ERROR_USAGE, "--connection FILE is needed: connection.json in the run directory of a running muster");
    return 0;
}

static void print_error(const struct error *e)
{
    fprintf(stderr, "muster-worker: %s\n", e->message);
}

static int work(const struct settings *s, int *exit_code, struct error *e)
{
    struct communicator *c;
    if (communicator_create(&c, s->comm, s->ranks, CONNECT_TIMEOUT, e)) {
        print_error(e);
        return -1;
    }
    const struct agent_work *doing = strcmp(s->agent.device, "fake") ? &agent_training : &agent_fake;
    int result = agent_run(exit_code, &s->agent, doing, c, e);
    if (result && !c->rank) /* the ranks agreed on it: one line is enough */
        print_error(e);
    c->run->destroy(c);
    return result;
}

/* The default entry: a worker of a run. */
static int run_worker(int argc, char **argv)
{
    struct settings s;
    struct error e = {0};
    int exit_code = 0;
    if (read_options(&s, argc, argv, &e)) {
        print_error(&e);
        return (int)e.kind;
    }
    if (s.help) {
        fputs(help, stdout);
        return 0;
    }
    log_setup("muster-worker", s.verbose ? LOG_DEBUG : LOG_INFO);
    if (fault_plan(getenv("MUSTER_FAULT"), message_known, &e)) {
        print_error(&e);
        return (int)e.kind;
    }
    if (!strcmp(s.comm, "mpi"))
        prctl(PR_SET_PDEATHSIG,
              SIGKILL);       /* a rank without its mpirun would wait for the others for ever, stopped ones included */
    signal(SIGPIPE, SIG_IGN); /* who reads what we print may be gone before us */
    stop_install();
    return work(&s, &exit_code, &e) ? (int)e.kind : exit_code;
}

static int run_bench(int argc, char **argv)
{
    struct error e = {0};
    log_setup("muster", LOG_INFO);
    if (argc > 1 && !strcmp(argv[1], "--help")) {
        bench_help();
        return 0;
    }
    if (!bench_run(argc - 1, argv + 1, &e))
        return 0;
    fprintf(stderr, "muster: %s\n", e.message);
    return (int)e.kind;
}

/* What a trial needs, for the coordinator: bytes of weights and of activations. */
static int run_memory(int argc, char **argv)
{
    struct error e = {0};
    struct json *text = NULL;
    struct trial t;
    struct memory_need m;
    int ranks = 1, status = -1;
    if (argc != 3)
        error_set(&e, ERROR_USAGE, "memory TRIAL RANKS: a trial as JSON is expected");
    else if (read_count(&ranks, "ranks", argv[2], &e) == 0 && json_parse(&text, argv[1], strlen(argv[1]), "trial", &e) == 0 &&
             trial_from_json(&t, text, &e) == 0) {
        status = memory_ask(&m, &t, ranks, &e);
        trial_free(&t);
    }
    json_destroy(&text);
    if (status)
        print_error(&e);
    else
        printf("%zu %zu\n", m.weights, m.activations);
    return status ? (int)e.kind : 0;
}

/* Entries by first word. */
static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} entries[] = {
    {"work", run_worker},
    {"bench", run_bench},
    {"memory", run_memory},
};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < sizeof entries / sizeof *entries; i++)
        if (!strcmp(argv[1], entries[i].name))
            return entries[i].run(argc - 1, argv + 1);
    return run_worker(argc, argv);
}
