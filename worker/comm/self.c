/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the communicator of a group of one rank: every sum is already there. */
#include "worker/comm/backends.h"

#include "common/base/memory.h"

#include <stdlib.h>
#include <string.h>

static int attach(struct communicator *c, struct device *d, struct error *e)
{
    (void)c, (void)d, (void)e;
    return 0;
}

static int all_reduce(struct communicator *c, device_memory data, size_t count, struct error *e)
{
    (void)c, (void)data, (void)count, (void)e;
    return 0;
}

static int nothing_to_do(struct communicator *c, struct error *e)
{
    (void)c, (void)e;
    return 0;
}

static int all_reduce_doubles(struct communicator *c, double *data, size_t count, struct error *e)
{
    (void)c, (void)data, (void)count, (void)e;
    return 0;
}

static int broadcast(struct communicator *c, void *data, size_t bytes, int root, struct error *e)
{
    (void)c, (void)data, (void)bytes, (void)root, (void)e;
    return 0;
}

static int gather(struct communicator *c, const void *from, size_t bytes, void *const *into, const size_t *sizes, struct error *e)
{
    (void)c, (void)sizes, (void)e;
    if (bytes)
        memmove(into[0], from, bytes);
    return 0;
}

static void end_all(struct communicator *c, int code)
{
    (void)c;
    exit(code);
}

static void destroy(struct communicator *c)
{
    free(c);
}

static const struct communicator_operations operations = {
    .name = "self",
    .attach = attach,
    .all_reduce = all_reduce,
    .join = nothing_to_do,
    .watch = nothing_to_do,
    .all_reduce_doubles = all_reduce_doubles,
    .broadcast = broadcast,
    .gather = gather,
    .barrier = nothing_to_do,
    .abort = end_all,
    .destroy = destroy,
};

int self_create(struct communicator **ret, int size, double timeout, struct error *e)
{
    if (size > 1)
        return error_set(e, ERROR_USAGE, "communicator self: one rank, not %d; use mpi", size);
    struct communicator *c = allocate(1, sizeof *c);
    const char *task =
        getenv("OMPI_COMM_WORLD_LOCAL_RANK"); /* each process of an MPI job or job step may be a group of its own */
    task = task ? task : getenv("SLURM_LOCALID");
    *c = (struct communicator){.run = &operations, .rank = 0, .size = 1, .local_rank = task ? atoi(task) : 0, .timeout = timeout};
    *ret = c;
    return 0;
}
