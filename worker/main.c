/* SPDX-License-Identifier: Apache-2.0 */
/* muster-worker: takes leases from a coordinator and carries them out. */
#include "common/base/buffer.h"
#include "common/base/device_kind.h"
#include "common/base/fault.h"
#include "common/base/log.h"
#include "common/base/options.h"
#include "common/base/standard_files.h"
#include "common/base/stop.h"
#include "common/base/version.h"
#include "proto/message.h"
#include "proto/trial.h"
#include "worker/agent.h"
#include "worker/bench.h"
#include "worker/device/gpu.h"
#include "worker/score_service.h"
#include "worker/train/memory.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#define CONNECT_TIMEOUT 120.0 /* seconds that ranks wait for each other until the coordinator says how long */

static const struct option work_options[] = {
    {"connection", 0, "FILE", NULL, "connection.json in the run directory of a running muster (required)"},
    {"comm", 0, "self|mpi", "self", "one process alone, or one rank of an MPI job"},
    {"ranks", 0, "N", "0", "ranks per group; the MPI job is split into groups of that size; 0: one group of all ranks"},
    {"device", 0, "NAME", "auto", "compute device: auto, cpu, cuda, cpu_reference, guarded, or fake: simulated losses"},
    {"reduction", 0, "ordered|fast", "ordered", "sums of gradients between GPUs: fast is NCCL's own all-reduce"},
    {"threads", 0, "N", "1", "threads of this process"},
    {"gpu", 0, "N", "0", "with a GPU: number of the first that this MPI job takes on its host; its ranks take one each"},
    {"group", 0, "TOKEN", NULL, "name of this group in the run; without it one is made up"},
    {NULL},
};

static const char *const notes =
    "\nEnvironment: MUSTER_TRACE=FILE writes a trace of every rank for Perfetto.\n"
    "\n`work` may be omitted. muster starts its workers itself; start one by hand for a job with cluster.launcher \"none\".\n"
    "Other verbs: bench (as `muster bench`), devices (the GPUs, for `muster doctor`), memory TRIAL RANKS (bytes of weights and "
    "of\n"
    "activations per rank), score BUNDLE ... (started by `muster serve`).\n";

static int exit_code; /* of a verb that did not fail */

static void print_error(const char *program, const struct error *e)
{
    fprintf(stderr, "%s: %s\n", program, e->message);
}

/* The ranks agree on what went wrong: rank 0's line is enough. */
static int work(const struct agent_options *o, const char *comm, bool fast, int ranks, int gpu, struct error *e)
{
    struct communicator *c;
    int kind = device_kind_find(o->device);
    bool gpus = (kind == DEVICE_AUTO || kind == DEVICE_CUDA) && gpu_count() > 0; /* may sum on them */
    if (communicator_create(&c, gpus && !strcmp(comm, "mpi") ? "nccl" : comm, ranks, CONNECT_TIMEOUT, e))
        return -1;
    gpu_use(gpu + c->local_rank);
    c->fast = fast;
    const struct agent_work *doing = device_kind_find(o->device) == DEVICE_FAKE ? &agent_fake : &agent_training;
    int result = agent_run(&exit_code, o, doing, c, e);
    if (result && c->rank) {
        exit_code = (int)e->kind;
        result = 0;
    }
    c->run->destroy(c);
    return result;
}

static int run_work(const struct arguments *a, struct error *e)
{
    struct agent_options o = {.connection = argument(a, "connection"),
                              .device = argument(a, "device"),
                              .group = argument(a, "group"),
                              .trace = getenv("MUSTER_TRACE")};
    int ranks, gpu;
    if (!o.connection)
        return error_set(e, ERROR_USAGE,
                         "work: --connection is missing; it names connection.json in the run directory of a running muster");
    if (argument_whole(&o.threads, a, "threads", 1, 4096, e) || argument_whole(&ranks, a, "ranks", 0, 4096, e) ||
        argument_whole(&gpu, a, "gpu", 0, 4096, e) || fault_plan(getenv("MUSTER_FAULT"), message_known, e))
        return -1;
    if (!strcmp(argument(a, "comm"), "mpi"))
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* without its mpirun a rank would wait for the others forever, stopped ones included */
    signal(SIGPIPE, SIG_IGN);             /* the reader of our output may be gone before us */
    stop_install();
    return work(&o, argument(a, "comm"), !strcmp(argument(a, "reduction"), "fast"), ranks, gpu, e);
}

static int read_trial(struct trial *ret, const char *text, struct error *e)
{
    struct json *j = NULL;
    int result = json_parse(&j, text, strlen(text), "trial", e) || trial_from_json(ret, j, e) ? -1 : 0;
    json_destroy(&j);
    return result;
}

/* What a trial needs, for the coordinator: bytes of weights and of activations per rank. */
static int run_memory(const struct arguments *a, struct error *e)
{
    const char *text = a->positional[0], *ranks = a->positional[1];
    struct trial t;
    struct memory_need m;
    char *end;
    long count = strtol(ranks, &end, 10);
    if (end == ranks || *end || count < 1 || count > 4096)
        return error_set(e, ERROR_USAGE, "memory: RANKS: expected a whole number from 1 to 4096, found \"%s\"", ranks);
    if (read_trial(&t, text, e))
        return -1;
    int result = memory_ask(&m, &t, (int)count, NULL, e);
    trial_free(&t);
    if (!result)
        printf("%zu %zu\n", m.weights, m.activations);
    return result;
}

static const struct option score_options[] = {
    {"device", 0, "NAME", "auto", "compute device: auto, cpu, cuda, cpu_reference, guarded"},
    {"threads", 0, "N", "1", "threads of this process"},
    {NULL},
};

/* A terminal's Ctrl-C reaches this process too; it has to answer until the server is done, and ends with the server's socket. */
static int run_score(const struct arguments *a, struct error *e)
{
    struct score_service_options o = {.bundles = a->positional, .count = a->count, .device = argument(a, "device"), .socket = 0};
    struct stat what;
    if (argument_whole(&o.threads, a, "threads", 1, 4096, e))
        return -1;
    if (fstat(o.socket, &what) || !S_ISSOCK(what.st_mode))
        return error_set(e, ERROR_USAGE, "score: standard input is no socket; it is `muster serve` that starts this");
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    return score_service_run(&o, e);
}

static const struct option devices_options[] = {
    {"device", 0, "NAME", NULL, "say instead what this device is, and its memory; fail where it is not to be had"},
    {"processes", 0, "N", "1", "that will run here at the same time"},
    {"trial", 0, "TRIAL", NULL, "and what this takes of its memory; fail where it is a GPU that cannot take it"},
    {"ranks", 0, "N", "1", "that train the trial together"},
    {NULL},
};

/* Bytes of weights and activations. What the host cannot tell (0 0) is told when it is to train. */
static int print_need(const struct device *d, const struct trial *t, int ranks, struct error *e)
{
    struct memory_need m = {0};
    bool gpu = *device_gpu(d);
    if (memory_ask(&m, t, ranks, d, e)) {
        if (gpu)
            return -1;
    } else if (gpu && memory_check(&m, d, gpu_opened()->memory, "", e)) {
        return -1;
    }
    printf("%zu %zu\n", m.weights, m.activations);
    return 0;
}

/* A line for a person, and one of the bytes of memory: all, and free. 0 0: it is the host's. t: NULL, no trial. */
static int print_device(const struct device *d, int processes, const struct trial *t, int ranks, struct error *e)
{
    char text[256];
    bool gpu = *device_gpu(d);
    if (gpu && gpu_enough(processes, e))
        return -1;
    device_describe(d, text, sizeof text);
    printf("%s\n%zu %zu\n", text, gpu ? gpu_opened()->memory : 0, device_memory_left(d));
    return t ? print_need(d, t, ranks, e) : 0;
}

static int describe_device(const struct arguments *a, struct error *e)
{
    struct device *d;
    struct trial t;
    int processes, ranks, result = 0;
    const char *trial = argument(a, "trial");
    if (argument_whole(&processes, a, "processes", 1, 4096, e) || argument_whole(&ranks, a, "ranks", 1, 4096, e) ||
        device_create(&d, argument(a, "device"), PRECISION_F32, 1, e))
        return -1;
    if (trial)
        result = read_trial(&t, trial, e);
    if (!result) {
        result = print_device(d, processes, trial ? &t : NULL, ranks, e);
        if (trial)
            trial_free(&t);
    }
    d->run->destroy(d);
    return result;
}

/* For `muster doctor`: the GPUs, and the software that drives them. */
static int run_devices(const struct arguments *a, struct error *e)
{
    struct buffer text = {0};
    if (argument(a, "device"))
        return describe_device(a, e);
    int nccl = communicator_nccl_version();
    gpu_describe(&text);
    if (nccl)
        buffer_printf(&text, "NCCL %d.%d.%d\n", nccl / 10000, nccl % 10000 / 100, nccl % 100);
    fputs(text.data, stdout);
    buffer_free(&text);
    return 0;
}

static int run_options(const struct arguments *a, struct error *e);

static const struct verb verbs[] = {
    {"work", "[option ...]", "takes trials from a running muster and trains them", 0, 0, work_options, .run = run_work,
     .program = "muster-worker"},
    {"bench", "[option ...]", "measures training steps or inference of a BERT on this machine", 0, 0, bench_options,
     .run = bench_run},
    {"memory", "TRIAL RANKS", "what a trial takes of a rank's memory", 2, 2, .run = run_memory, .program = "muster-worker"},
    {"score", "BUNDLE ...", "scores rows for `muster serve`, over the socket that is its standard input", 1, 4096, score_options,
     .run = run_score, .program = "muster-worker"},
    {"devices", "", "prints the GPUs that this build can use, for `muster doctor`", 0, 0, devices_options, .run = run_devices,
     .program = "muster-worker"},
    {"options", "", "prints the options of each verb as JSON: manual pages and completion are made of it", 0, 0,
     .run = run_options, .program = "muster-worker"},
    {NULL},
};

static int run_options(const struct arguments *a, struct error *e)
{
    (void)a;
    (void)e;
    struct json *tables = json_object();
    for (const struct verb *v = verbs; v->name; v++) {
        struct json *list = json_set(tables, v->name, json_array());
        for (const struct option *o = v->options; o && o->name; o++) {
            struct json *option = json_append(list, json_object());
            json_set_string(option, "name", o->name);
            json_set_string(option, "value", o->value);
            json_set_string(option, "default", o->fallback);
            json_set_string(option, "help", o->help);
        }
    }
    char *text = json_print(tables, true);
    printf("%s\n", text);
    free(text);
    json_destroy(&tables);
    return 0;
}

static int run_verb(const struct verb *v, const char *program, int argc, char **argv)
{
    struct error e = {0};
    struct arguments a = {0};
    int result = arguments_read(&a, v, argc, argv, &e);
    if (!result && a.help) {
        verb_print_help(v);
        if (v == verbs)
            fputs(notes, stdout);
    } else if (!result) {
        log_setup(program, a.verbose ? LOG_DEBUG : LOG_INFO);
        result = v->run(&a, &e);
    }
    arguments_free(&a);
    if (result)
        print_error(program, &e);
    return result ? (int)e.kind : exit_code;
}

/* A first word that is no option names the verb. */
int main(int argc, char **argv)
{
    standard_files_prepare();
    struct error e = {0};
    const struct verb *v = verbs;
    bool named = argc > 1 && argv[1][0] != '-';
    if (argc > 1 && !strcmp(argv[1], "--version")) {
        printf("muster-worker " MUSTER_VERSION "%s\n", git_version);
        return 0;
    }
    if (named && !(v = verb_find(verbs, argv[1], &e))) {
        print_error("muster-worker", &e);
        return (int)e.kind;
    }
    return run_verb(v, v->program ? v->program : "muster", argc - 1 - named, argv + 1 + named);
}
