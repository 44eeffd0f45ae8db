/* Owns what happens when muster itself is started by mpirun. */
#include "coordinator/attach.h"

#include "cluster/launcher.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/base/stop.h"
#include "common/base/version.h"
#include "proto/connection.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What an MPI launcher tells its processes, by launcher. */
static const struct {
    const char *rank, *size, *local_size, *job;
} environments[] = {
    {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE", "PMIX_NAMESPACE"},
};

static int number_of(const char *name, int otherwise)
{
    const char *text = getenv(name);
    return text && *text ? atoi(text) : otherwise;
}

char *attach_session(void)
{
    for (size_t i = 0; i < sizeof environments / sizeof *environments; i++)
        if (getenv(environments[i].rank) && getenv(environments[i].job))
            return duplicate(getenv(environments[i].job));
    return NULL;
}

int attach_find(struct attach *ret, struct error *e)
{
    struct attach a = {0};
    for (size_t i = 0; !a.ranks && i < sizeof environments / sizeof *environments; i++) {
        if (!getenv(environments[i].rank))
            continue;
        a.rank = number_of(environments[i].rank, 0);
        a.ranks = number_of(environments[i].size, 1);
        if (number_of(environments[i].local_size, a.ranks) != a.ranks)
            return error_set(e, ERROR_USAGE, "this MPI job spans several hosts, which is not there yet; run it on one host");
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
                         "mpirun: a trial runs on 1, 2, 4, ... ranks (a power of two), not on %d; start %d, or set "
                         "cluster.groups=%d for groups of one rank",
                         ranks, below, a->ranks);
    a->groups = groups;
    a->ranks_per_group = ranks;
    return 0;
}

/* 1: a connection file of this MPI job; 0: not yet. */
static int look(struct connection *ret, const char *path, const char *session, struct error *e)
{
    if (!file_exists(path))
        return 0;
    if (connection_read(ret, path, e))
        return -1;
    if (ret->session && session && !strcmp(ret->session, session))
        return 1;
    connection_free(ret);
    return 0;
}

static int become(const struct attach *a, const struct dispatch_options *o, const char *path, struct error *e)
{
    char token[32];
    snprintf(token, sizeof token, "attached-%d", a->rank / a->ranks_per_group);
    int threads = o->threads > 0 ? o->threads : launcher_cores() / a->ranks;
    struct launch launch = {.worker = o->worker,
                            .connection = path,
                            .device = o->device,
                            .group = token,
                            .ranks = a->ranks_per_group,
                            .threads = threads > 0 ? threads : 1,
                            .crowded = a->ranks * threads > launcher_cores()};
    return launcher_become(&launch, e);
}

int attach_become_worker(const struct attach *a, const struct dispatch_options *o, int *exit_code, struct error *e)
{
    char *path = path_join(o->folder, CONNECTION_FILE), *session = attach_session();
    struct connection c = {0};
    int result;
    while (!(result = look(&c, path, session, e)) && !(result = stop_check(e)))
        clock_sleep(0.2);
    if (result == 1 && c.endpoint)
        result = become(a, o, path, e);
    if (result == 1) {
        *exit_code = 0;
        result = 0;
    }
    connection_free(&c);
    free(path);
    free(session);
    return result;
}

void attach_finish(const struct attach *a, const char *folder)
{
    if (!a->ranks || !folder_exists(folder))
        return;
    char *path = path_join(folder, CONNECTION_FILE);
    struct connection c = {.version = duplicate(MUSTER_VERSION), .session = attach_session()};
    struct error e;
    if (connection_write(&c, path, &e))
        log_warn("%s", e.text);
    connection_free(&c);
    free(path);
}
