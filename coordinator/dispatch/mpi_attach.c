/* SPDX-License-Identifier: Apache-2.0 */
/* muster itself started by mpirun or srun. */
#include "coordinator/dispatch/mpi_attach.h"

#include "cluster/interface.h"
#include "cluster/launcher.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/machine.h"
#include "common/base/memory.h"
#include "common/base/stop.h"
#include "common/base/version.h"
#include "proto/connection.h"
#include "proto/message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DIRECTORY_TIMEOUT 120.0 /* seconds until rank 0's announcement must be seen; network file systems may take one minute */

/* The environment variables of each MPI launcher. In a job step of srun, those of mpirun come first. */
static const struct {
    const char *present, *rank, *size, *local_size; /* present: set by this launcher only */
} environments[] = {
    {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE"},
    {"SLURM_STEP_ID", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_STEP_TASKS_PER_NODE"},
};

static int number_of(const char *name, int otherwise)
{
    const char *text = getenv(name);
    return text && *text ? atoi(text) : otherwise;
}

/* A job that SLURM starts again has the old one's number. */
char *attach_session(void)
{
    const char *job = getenv("PMIX_NAMESPACE"), *restarts = getenv("SLURM_RESTART_COUNT");
    return job && restarts ? format_string("%s+%s", job, restarts) : duplicate(job);
}

int attach_find(struct attach *ret, struct error *e)
{
    struct attach a = {0};
    for (size_t i = 0; !a.ranks && i < sizeof environments / sizeof *environments; i++) {
        if (!getenv(environments[i].present))
            continue;
        a.rank = number_of(environments[i].rank, 0);
        a.ranks = number_of(environments[i].size, 1);
        a.ranks_here = number_of(environments[i].local_size, a.ranks);
    }
    if (a.ranks > 1 && !getenv("PMIX_NAMESPACE")) {
        *ret = a;
        return error_set(e, ERROR_USAGE,
                         "srun started %d processes without PMIx; use srun --mpi=pmix, or mpirun inside the allocation", a.ranks);
    }
    if (a.ranks <= 1)
        a = (struct attach){0};
    *ret = a;
    return 0;
}

int attach_divide(struct attach *a, int groups, int ranks_per_group, struct error *e)
{
    if (a->ranks % groups)
        return error_set(e, ERROR_USAGE, "cluster.groups: %d processes under mpirun cannot be divided into %d groups", a->ranks,
                         groups);
    if (groups == 1 && a->ranks % ranks_per_group)
        return error_set(e, ERROR_USAGE, "cluster.ranks_per_group: %d processes under mpirun cannot be divided into groups of %d",
                         a->ranks, ranks_per_group);
    if (groups == 1 && ranks_per_group > 1)
        groups = a->ranks / ranks_per_group;
    int ranks = a->ranks / groups, below = 1;
    while (below * 2 <= ranks)
        below *= 2;
    if (ranks != below)
        return error_set(e, ERROR_USAGE,
                         "mpirun: a trial runs on a power of two of ranks (1, 2, 4, ...), not on %d; start %d, or set "
                         "cluster.groups=%d for groups of one rank",
                         ranks, below, a->ranks);
    a->groups = groups;
    a->ranks_per_group = ranks;
    return 0;
}

/* 1: a connection file of this MPI job, of a coordinator that listens or has finished; 0: not yet. *seen: rank 0 wrote one. */
static int read_state(struct connection *ret, const char *path, const char *session, bool *seen, struct error *e)
{
    if (!file_exists(path))
        return 0;
    if (connection_read(ret, path, e))
        return -1;
    bool ours = ret->session && session && !strcmp(ret->session, session);
    *seen |= ours;
    if (ours && !ret->coming)
        return 1;
    connection_free(ret);
    return 0;
}

static int check_directory(const char *path, bool seen, double since, struct error *e)
{
    char host[MACHINE_NAME];
    if (seen || clock_seconds() - since <= DIRECTORY_TIMEOUT)
        return 0;
    machine_name(host, sizeof host);
    return error_set(e, ERROR_FAILED,
                     "host %s: %s of rank 0 did not appear within %.0f s; all hosts must share the run directory (\"out\")", host,
                     path, DIRECTORY_TIMEOUT);
}

static int exec_worker(const struct attach *a, const struct dispatch_options *o, const char *path, struct error *e)
{
    char token[32];
    snprintf(token, sizeof token, "attached-%d", a->rank / a->ranks_per_group);
    int threads = o->threads > 0 ? o->threads : launcher_threads(a->ranks_here);
    struct launch launch = {.worker = o->worker,
                            .connection = path,
                            .device = device_names[o->device],
                            .fast = o->fast,
                            .group = token,
                            .ranks = a->ranks_per_group,
                            .local = a->ranks_here == a->ranks,
                            .interface = o->interface && interface_is_portable(o->interface) ? o->interface : NULL,
                            .threads = threads,
                            .oversubscribed = a->ranks_here * threads > machine_cores()};
    return launcher_exec(&launch, e);
}

int attach_exec_worker(const struct attach *a, const struct dispatch_options *o, int *exit_code, struct error *e)
{
    char *path = path_join(o->directory, CONNECTION_FILE), *session = attach_session();
    struct connection c = {0};
    bool seen = false;
    double since = clock_seconds();
    int result;
    while (!(result = read_state(&c, path, session, &seen, e)) && !(result = stop_check(e)) &&
           !(result = check_directory(path, seen, since, e)))
        clock_sleep(0.2);
    if (result == 1 && c.endpoint)
        result = exec_worker(a, o, path, e);
    if (result == 1) {
        *exit_code = 0;
        result = 0;
    }
    connection_free(&c);
    free(path);
    free(session);
    return result;
}

static void write_state(const char *directory, bool coming)
{
    char *path = path_join(directory, CONNECTION_FILE);
    struct connection c = {
        .protocol = PROTOCOL_VERSION, .version = duplicate(MUSTER_VERSION), .session = attach_session(), .coming = coming};
    struct error e;
    if (connection_write(&c, path, &e))
        log_warn("%s", e.message);
    connection_free(&c);
    free(path);
}

void attach_announce(const char *directory)
{
    write_state(directory, true);
}

void attach_finish(const struct attach *a, const char *directory)
{
    if (a->ranks && directory_exists(directory))
        write_state(directory, false);
}
