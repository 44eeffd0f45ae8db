/* SPDX-License-Identifier: Apache-2.0 */
/* Sums of the emulated GPU's memory over the double of NCCL: this program starts itself again under mpirun, one scenario a time.
 * A rank that finds everything right prints "rank N right". */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "common/base/machine.h"
#include "common/base/memory.h"
#include "tests/emu/cuda_emulated.h"
#include "tests/unit/worker/comm/ranks.h"
#include "worker/comm/communicator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the ranks ---- */

static device_memory upload(struct device *d, float *data, size_t count)
{
    struct error e;
    device_memory ret;
    if (d->run->allocate(d, &ret, count * sizeof *data, &e))
        abort();
    d->run->upload(d, ret, data, count * sizeof *data);
    return ret;
}

/* Two sums under way at once, of different sizes, and work of the device before and behind each; `data` is what `on_device` has
 * at first. What MPI makes of the same numbers is expected. */
static int sum_both_ways(struct communicator *c, struct communicator *mpi, struct device *d, size_t count, struct error *e)
{
    float *data = allocate(count, sizeof *data), *found = allocate(count, sizeof *found);
    struct device *host;
    for (size_t i = 0; i < count; i++)
        data[i] = sample(c->rank, i);
    device_memory x = upload(d, data, count), y = upload(d, data, count), one = upload(d, data, 1);
    d->run->add(d, x, y, count); /* x: twice the numbers */
    REQUIRE(!c->run->all_reduce(c, x, count, e) && !c->run->watch(c, e) && !c->run->all_reduce(c, one, 1, e), "%s", e->message);
    REQUIRE(!c->run->join(c, e), "%s", e->message);
    d->run->add(d, x, y, count);
    d->run->download(d, found, x, count * sizeof *found);
    for (size_t i = 0; i < count; i++)
        data[i] += data[i];
    REQUIRE(!device_create(&host, "cpu_reference", PRECISION_F32, 1, e) && !mpi->run->attach(mpi, host, e) &&
                !mpi->run->all_reduce(mpi, (device_memory){(uintptr_t)data}, count, e) && !mpi->run->join(mpi, e),
            "%s", e->message);
    for (size_t i = 0; i < count; i++) {
        float expected = data[i] + sample(c->rank, i);
        REQUIRE(!memcmp(&expected, &found[i], sizeof expected), "of %zu at %zu: MPI's sum %.9g, found %.9g", count, i,
                (double)expected, (double)found[i]);
    }
    host->run->destroy(host);
    free(data);
    free(found);
    d->run->release(d, x);
    d->run->release(d, y);
    d->run->release(d, one);
    return 0;
}

/* The communicator itself sums by MPI where the device is no GPU. */
static int order(struct communicator *c, struct device *d, struct error *e)
{
    static const size_t counts[] = {1, 2, 3, 5, 17, 1000, 4099};
    for (size_t k = 0; k < sizeof counts / sizeof *counts; k++)
        if (c->run->attach(c, d, e) || sum_both_ways(c, c, d, counts[k], e))
            return -1;
    return 0;
}

/* In whatever order: whole numbers have exact sums, others need not have the tree's. */
static int fast(struct communicator *c, struct device *d, struct error *e)
{
    enum { COUNT = 3000 };
    float data[COUNT], found[COUNT];
    for (size_t i = 0; i < COUNT; i++)
        data[i] = (float)((int)(i % 101) * (c->rank + 1));
    device_memory x = upload(d, data, COUNT);
    REQUIRE(!c->run->all_reduce(c, x, COUNT, e) && !c->run->join(c, e), "%s", e->message);
    d->run->download(d, found, x, sizeof found);
    for (size_t i = 0; i < COUNT; i++) {
        float expected = (float)((int)(i % 101) * c->size * (c->size + 1) / 2);
        REQUIRE(found[i] == expected, "at %zu: expected %g, found %g", i, (double)expected, (double)found[i]);
    }
    d->run->release(d, x);
    return 0;
}

/* More than there are marks, none of them waited for. */
static int many(struct communicator *c, struct device *d, struct error *e)
{
    float data[4] = {1, 2, 3, 4};
    device_memory x = upload(d, data, 4);
    for (int i = 0; i < 300; i++)
        REQUIRE(!c->run->all_reduce(c, x, 4, e) && !c->run->join(c, e), "sum %d: %s", i, e->message);
    REQUIRE(!d->run->finish(d, e), "%s", e->message);
    d->run->release(d, x);
    return 0;
}

/* Sums until something fails, as a trial does; the message is for the parent to read. */
static int failing(struct communicator *c, struct device *d, struct error *e)
{
    float data[64] = {0};
    device_memory x = upload(d, data, 64);
    for (int step = 0; step < 3; step++) {
        if (c->run->all_reduce(c, x, 64, e) || c->run->join(c, e))
            break;
        uint64_t mark = d->run->mark(d);
        double ready = 0;
        int passed;
        while (!(passed = d->run->passed(d, mark, e)) && !c->run->watch(c, e))
            clock_sleep(1e-4);
        if (passed != 1 || c->run->all_reduce_doubles(c, &ready, 1, e))
            break;
    }
    if (!e->kind)
        return 0;
    printf("rank %d: kind %d: %s\n", c->rank, e->kind, e->message);
    struct error again = {0};
    REQUIRE(c->run->barrier(c, &again) && !strcmp(again.message, e->message), "then: %s", again.message);
    struct error of_device = {0};
    REQUIRE(!d->run->finish(d, &of_device), "the device: %s", of_device.message); /* nothing holds it any more */
    return -1;
}

/* Rank 1 never asks for the sum that rank 0 waits for. */
static int behind(struct communicator *c, struct device *d, struct error *e)
{
    float data[64] = {0};
    device_memory x = upload(d, data, 64);
    if (!c->rank && (c->run->all_reduce(c, x, 64, e) || c->run->join(c, e)))
        return -1;
    while (!c->run->watch(c, e))
        clock_sleep(1e-3);
    printf("rank %d: kind %d: %s\n", c->rank, e->kind, e->message);
    return -1;
}

/* The same, found out in an upload that waits for room. */
static int uploads(struct communicator *c, struct device *d, struct error *e)
{
    enum { COUNT = 6 << 20 };
    float *data = allocate(COUNT, sizeof *data);
    device_memory x = upload(d, data, COUNT);
    struct error of_device = {0};
    if (!c->rank && (c->run->all_reduce(c, x, 64, e) || c->run->join(c, e)))
        return -1;
    if (!c->rank)
        d->run->upload(d, x, data, COUNT * sizeof *data);
    else
        while (!c->run->watch(c, e))
            clock_sleep(1e-3);
    free(data);
    REQUIRE(c->run->watch(c, e), "an upload of more than there is room for came to an end");
    printf("rank %d: kind %d: %s\n", c->rank, e->kind, e->message);
    REQUIRE(c->rank || (d->run->finish(d, &of_device) && !strcmp(of_device.message, e->message)), "the device: %s",
            of_device.message);
    REQUIRE(!d->run->finish(d, &of_device) && !d->lost, "the device, then: %s", of_device.message);
    return -1;
}

static const struct {
    const char *name;
    int (*run)(struct communicator *c, struct device *d, struct error *e);
} scenarios[] = {{"order", order},     {"fast", fast},     {"many", many},
                 {"failing", failing}, {"behind", behind}, {"uploads", uploads}};

static int be_a_rank(const char *name, int threads, double timeout)
{
    struct error e = {0};
    struct communicator *c;
    struct device *d;
    size_t i = 0;
    while (strcmp(name, scenarios[i].name))
        i++;
    if (communicator_create(&c, "nccl", 0, 60, &e) || c->run->barrier(c, &e) ||
        emulated_device_create(&d, "cuda_emulated", PRECISION_F32, threads, &e))
        return printf("%s\n", e.message), 1;
    c->timeout = timeout;
    c->fast = scenarios[i].run == fast;
    int result = c->run->attach(c, d, &e);
    if (result)
        printf("rank %d: kind %d: %s\n", c->rank, e.kind, e.message);
    else
        result = scenarios[i].run(c, d, &e);
    if (!result)
        printf("rank %d right\n", c->rank);
    fflush(stdout);
    d->run->destroy(d);
    c->run->destroy(c);
    return result ? 1 : 0;
}

/* ---- the parent ---- */

static char self_path[4096];

struct job {
    const char *environment, *scenario;
    int ranks, threads;
    double timeout;
    FILE *output;
    char said[1 << 15];
};

static void job_start(struct job *j)
{
    char *command =
        format_string("%s ASAN_OPTIONS=detect_leaks=0 timeout 60 mpirun --oversubscribe --bind-to none -np %d '%s' %s %d %g 2>&1",
                      j->environment, j->ranks, self_path, j->scenario, j->threads, j->timeout);
    j->output = popen(command, "r");
    assert_non_null(j->output);
    free(command);
}

static void job_end(struct job *j)
{
    size_t size = fread(j->said, 1, sizeof j->said - 1, j->output);
    j->said[size] = 0;
    pclose(j->output);
}

static void run_well(const char *scenario, int ranks, int threads)
{
    struct job j = {.environment = "", .scenario = scenario, .ranks = ranks, .threads = threads, .timeout = 60};
    int right = 0;
    job_start(&j);
    job_end(&j);
    for (const char *at = j.said; (at = strstr(at, " right\n")); at++)
        right++;
    if (right != ranks)
        fail_msg("%s on %d ranks, threads %d: expected %d to be right, found %d:\n%s", scenario, ranks, threads, ranks, right,
                 j.said);
}

/* Threads 1: the streams do at once what they can; 3: as late as they may. */
static void sums_are_those_of_mpi(void **state)
{
    (void)state;
    run_well("order", 1, 1);
    run_well("order", 2, 1);
    run_well("order", 2, 3);
    run_well("order", 3, 3);
    run_well("order", 4, 3);
    run_well("order", 8, 1);
}

static void fast_sums_are_sums(void **state)
{
    (void)state;
    run_well("fast", 2, 3);
    run_well("fast", 3, 1);
}

static void more_sums_than_marks(void **state)
{
    (void)state;
    run_well("many", 2, 3);
}

/* What a rank says where a fault is planned at another, or at itself. HOST stands for the host's name. */
static const struct {
    const char *plan, *scenario;
    const char *said[2]; /* NULL: nothing of it */
} faults[] = {
    {"error ncclGetUniqueId 0",
     "failing",
     {"rank 0: kind 1: rank 0 (HOST): ncclGetUniqueId: unhandled system error",
      "rank 1: kind 1: rank 0 (HOST): ncclGetUniqueId: unhandled system error"}},
    {"error ncclCommInitRankConfig 1",
     "failing",
     {"rank 0: kind 1: init: rank 1 (HOST): ncclCommInitRankConfig: unhandled system error",
      "rank 1: kind 1: init: rank 1 (HOST): ncclCommInitRankConfig: unhandled system error: the double was told to fail"}},
    {"error ncclSend 1 2",
     "failing",
     {"rank 0: kind 1: all_reduce: rank 1 (HOST): all-to-all of gradients: unhandled system error: the double was told to fail",
      "rank 1: kind 1: all_reduce: rank 1 (HOST): all-to-all"}},
    {"error ncclRecv 0 1",
     "failing",
     {"rank 0: kind 1: all_reduce: rank 0 (HOST): all-to-all of gradients: unhandled system error",
      "rank 1: kind 1: all_reduce: rank 0 (HOST): all-to-all"}},
    {"error ncclGroupEnd 1 3",
     "failing",
     {"rank 0: kind 1: all_reduce: rank 1 (HOST): all-to-all of gradients: unhandled system error",
      "rank 1: kind 1: all_reduce: rank 1 (HOST): all-to-all"}},
    {"error ncclCommGetAsyncError 0 30",
     "failing",
     {"rank 0: kind 1: all_reduce: rank 0 (HOST): ", "rank 1: kind 1: all_reduce: rank 0 (HOST): "}},
    {"error data 1 2",
     "failing",
     {"rank 0: kind 1: all_reduce: rank 1 (HOST): NCCL: unhandled cuda error",
      "rank 1: kind 1: all_reduce: rank 1 (HOST): NCCL: unhandled cuda error"}},
    {"remote data 0 2",
     "failing",
     {"rank 0: kind 1: all_reduce: rank 0 (HOST): NCCL: remote process exited or there was a network error: the double was told "
      "to lose a peer",
      "rank 1: kind 1: all_reduce: rank 0 (HOST): NCCL: remote process exited"}},
    {"kill ncclGroupEnd 1 2", "failing", {"on signal 9", NULL}},
    {"kill data 0 2", "failing", {"on signal 9", NULL}},
    {"hang ncclCommInitRankConfig 1",
     "failing",
     {"rank 0: kind 1: init: rank 0 (HOST) waited for NCCL in vain, and no rank is behind: look at the network",
      "rank 1: kind 1: init: rank 1 (HOST) waited for NCCL in vain, and no rank is behind"}},
    {"stall ncclCommInitRankConfig 1",
     "failing",
     {"rank 0: kind 1: init: rank 0 (HOST) waited for NCCL in vain: rank 1 (HOST) does not answer; look at that host", NULL}},
    {"hang data 1 3",
     "failing",
     {"rank 0: kind 1: all_reduce: rank 0 (HOST) waited for NCCL in vain, and no rank is behind",
      "rank 1: kind 1: all_reduce: rank 1 (HOST) waited for NCCL in vain, and no rank is behind"}},
    {"hang ncclGroupEnd 0 2",
     "failing",
     {"rank 0: kind 1: all_reduce: rank 0 (HOST) waited for NCCL in vain",
      "rank 1: kind 1: all_reduce: rank 1 (HOST) waited for NCCL in vain"}},
    {"stall data 1 2",
     "failing",
     {"rank 0: kind 1: all_reduce: rank 0 (HOST) waited for NCCL in vain: rank 1 (HOST) does not answer", NULL}},
    {"stall ncclSend 0 1",
     "failing",
     {NULL, "rank 1: kind 1: all_reduce: rank 1 (HOST) waited for NCCL in vain: rank 0 (HOST) does not answer"}},
    {"error ncclSend 1 2; hang ncclCommAbort 0; hang ncclCommAbort 1",
     "failing",
     {"rank 0 (HOST): NCCL could not be aborted within 10 s; this process ends", "rank 1 (HOST): all-to-all of gradients"}},
    {"",
     "behind",
     {"rank 0: kind 1: all_reduce: rank 0 (HOST) waited for NCCL in vain: rank 1 (HOST) has not come to this sum",
      "rank 1: kind 1: all_reduce: rank 1 (HOST) waited for NCCL in vain: rank 1 (HOST) has not come to this sum"}},
    {"",
     "uploads",
     {"rank 0: kind 1: all_reduce: rank 0 (HOST) waited for NCCL in vain: rank 1 (HOST) has not come to this sum",
      "rank 1: kind 1: all_reduce: rank 1 (HOST) waited for NCCL in vain: rank 1 (HOST) has not come to this sum"}},
};

enum { FAULTS = sizeof faults / sizeof *faults, QUICK = 10 /* of them, at the front: nobody waits for a timeout */ };

static void replace_host(char *text, size_t size, const char *from)
{
    char host[MACHINE_NAME];
    machine_name(host, sizeof host);
    const char *at;
    size_t used = 0;
    for (; (at = strstr(from, "HOST")); from = at + 4)
        used += (size_t)snprintf(text + used, size - used, "%.*s%s", (int)(at - from), from, host);
    snprintf(text + used, size - used, "%s", from);
}

static void check_fault(const struct job *j, size_t i)
{
    for (int k = 0; k < 2; k++) {
        char words[1024];
        if (!faults[i].said[k])
            continue;
        replace_host(words, sizeof words, faults[i].said[k]);
        if (!strstr(j->said, words))
            fail_msg("%s: expected: %s\nfound:\n%s", faults[i].plan, words, j->said);
    }
    if (strstr(j->said, " right\n"))
        fail_msg("%s: and yet all was right:\n%s", faults[i].plan, j->said);
}

static void check_faults(size_t from, size_t to)
{
    static struct job jobs[FAULTS];
    static char environment[FAULTS][256];
    for (size_t i = from; i < to; i++) {
        snprintf(environment[i], sizeof environment[i], "MUSTER_EMULATED_NCCL='%s'", faults[i].plan);
        jobs[i] = (struct job){
            .environment = environment[i], .scenario = faults[i].scenario, .ranks = 2, .threads = i % 2 ? 3 : 1, .timeout = 5};
        job_start(&jobs[i]);
    }
    for (size_t i = from; i < to; i++)
        job_end(&jobs[i]);
    for (size_t i = from; i < to; i++)
        check_fault(&jobs[i], i);
}

/* In every operation. */
static void a_fault_is_named_and_holds_nobody_up(void **state)
{
    (void)state;
    check_faults(0, QUICK / 2);
    check_faults(QUICK / 2, QUICK);
    check_faults(QUICK, FAULTS); /* all at once */
}

static void gpus_of_two_kinds_are_refused(void **state)
{
    (void)state;
    struct job j = {.environment = "MUSTER_EMULATED_KINDS=ab", .scenario = "order", .ranks = 2, .threads = 1, .timeout = 60};
    char words[1024];
    job_start(&j);
    job_end(&j);
    replace_host(words, sizeof words,
                 "rank 1: kind 2: rank 0 (HOST) is on a GPU \"emulated GPU a\" and rank 1 (HOST) on a \"emulated GPU b\"");
    if (!strstr(j.said, words))
        fail_msg("expected: %s\nfound:\n%s", words, j.said);
}

int main(int count, char **arguments)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (count > 3)
        return be_a_rank(arguments[1], atoi(arguments[2]), atof(arguments[3]));
    ssize_t size = readlink("/proc/self/exe", self_path, sizeof self_path - 1);
    self_path[size > 0 ? size : 0] = 0;
    setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
    setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_are_those_of_mpi),         cmocka_unit_test(fast_sums_are_sums),
        cmocka_unit_test(more_sums_than_marks),          cmocka_unit_test(a_fault_is_named_and_holds_nobody_up),
        cmocka_unit_test(gpus_of_two_kinds_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
