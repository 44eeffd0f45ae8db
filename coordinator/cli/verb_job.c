/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs that take a job: run up to a stage, on workers of our own or as part of an MPI job. */
#include "cluster/launcher.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "coordinator/cli/verbs.h"
#include "coordinator/dispatch/mpi_attach.h"
#include "coordinator/job/job_paths.h"
#include "coordinator/run.h"

#include <stdlib.h>
#include <string.h>

const struct option job_options[] = {
    {"trace", 0, "FILE", NULL, "write a timeline of each rank in Chrome trace format, for Perfetto (group 2: FILE with .2)"},
    {NULL},
};

static const struct {
    const char *verb;
    enum stage last;
} stages[] = {{"run", STAGE_PUBLISH}, {"check", STAGE_CHECK}, {"split", STAGE_SPLIT},    {"train", STAGE_TRAIN},
              {"sweep", STAGE_SWEEP}, {"tune", STAGE_TUNE},   {"publish", STAGE_PUBLISH}};

static enum stage stage_of(const char *verb)
{
    for (size_t i = 0; i < sizeof stages / sizeof stages[0]; i++)
        if (strcmp(stages[i].verb, verb) == 0)
            return stages[i].last;
    return STAGE_CHECK;
}

/* Under mpirun the MPI job says how many ranks there are; the job file's metric stands for groups that we start. */
static int read_with_ranks(struct job *j, const struct attach *at, const struct arguments *a, struct error *e)
{
    if (!at->ranks_per_group)
        return job_read(j, a->positional[0], a->positional + 1, a->count - 1, e);
    char *ranks = format_string("cluster.ranks_per_group=%d", at->ranks_per_group);
    const char **overrides = allocate(a->count, sizeof *overrides);
    for (size_t i = 1; i < a->count; i++)
        overrides[i - 1] = a->positional[i];
    overrides[a->count - 1] = ranks;
    int status = job_read(j, a->positional[0], overrides, a->count, e);
    free(overrides);
    free(ranks);
    return status;
}

static int read_job(struct job *j, const struct attach *at, const struct arguments *a, struct error *e)
{
    if (read_with_ranks(j, at, a, e) != 0)
        return -1;
    if (j->paths_note)
        log_warn("%s: %s: taken from the current directory, since nothing is there relative to the job file; in a job file write "
                 "paths relative to it",
                 a->positional[0], j->paths_note);
    if (job_paths_check(j, e) == 0)
        return 0;
    job_free(j);
    return error_prefix(e, "%s: ", a->positional[0]);
}

/* A rank that only computes: waits for the coordinator, which is rank 0's process. */
static int be_worker(const struct attach *at, const struct dispatch_options *given, const struct job *j, struct error *e)
{
    struct dispatch_options o = *given;
    int exit_code = 0;
    char *directory = path_absolute(j->out);
    o.directory = directory;
    o.device = (enum device_kind)device_kind_find(j->cluster.device);
    o.threads = (int)j->cluster.threads;
    o.heartbeat_timeout = j->cluster.heartbeat_timeout;
    int status = attach_exec_worker(at, &o, &exit_code, e);
    free(directory);
    if (status == 0 && exit_code != 0)
        exit(exit_code); /* rank 0 has said why */
    return status;
}

static int run_attached(const struct attach *at, struct job *j, enum stage last, struct dispatch_options *o, struct error *e)
{
    o->launcher = LAUNCHER_ATTACHED;
    o->groups = at->groups;
    o->ranks_per_group = at->ranks_per_group;
    o->ranks_on_host = at->ranks_here < at->ranks ? at->ranks_here : 0;
    if (at->rank > 0)
        return be_worker(at, o, j, e);
    int status = run_until(j, last, o, e);
    char *directory = path_absolute(j->out);
    attach_finish(at, directory);
    free(directory);
    return status;
}

/* Of the ranks of an MPI job, which all read the same job, one tells what is wrong with it. */
static int refuse(const struct attach *at, const struct error *e)
{
    if (at->rank > 0)
        exit((int)e->kind);
    return -1;
}

/* Workers find it in their environment, however they are started. */
static int hand_on_trace(const struct arguments *a, struct error *e)
{
    if (!argument_given(a, "trace"))
        return 0;
    char *path = path_absolute(argument(a, "trace"));
    int status = !*argument(a, "trace")            ? error_set(e, ERROR_USAGE, "%s: --trace needs a file name", a->verb->name)
                 : setenv("MUSTER_TRACE", path, 1) ? error_set(e, ERROR_FAILED, "--trace: out of memory")
                                                   : 0;
    free(path);
    return status;
}

int verb_job(const struct arguments *a, struct error *e)
{
    struct job j;
    struct attach at = {0};
    struct dispatch_options o = {0};
    char *worker = NULL;
    if (hand_on_trace(a, e) != 0 || attach_find(&at, e) != 0 || read_job(&j, &at, a, e) != 0)
        return refuse(&at, e);
    if (at.ranks) { /* how the ranks are divided decides the micro-batches of the job */
        uint32_t groups = j.cluster.groups, ranks = j.cluster.ranks_per_group;
        job_free(&j);
        if (attach_divide(&at, (int)groups, (int)ranks, e) != 0 || read_job(&j, &at, a, e) != 0)
            return refuse(&at, e);
    }
    enum stage last = stage_of(a->verb->name);
    int status = last >= STAGE_TRAIN ? launcher_worker_path(&worker, e) : 0;
    o.worker = worker;
    if (status == 0)
        status = at.ranks ? run_attached(&at, &j, last, &o, e) : run_until(&j, last, &o, e);
    free(worker);
    job_free(&j);
    return status;
}
