/* SPDX-License-Identifier: Apache-2.0 */
/* What ranks of a group do together. All calls are collective: all ranks, same order, same sizes. No rank waits without a
 * deadline: a peer that does not answer within `timeout` seconds is ERROR_FAILED naming operation, rank and host. After a failure
 * the communicator is unusable: every call fails with the first message, and destroy leaves without waiting for the others.
 *
 * Sums have one order whatever the number of ranks (a power of two; others give right sums of another order): see all_reduce.
 * All calls come from the thread that created the communicator. */
#pragma once

#include "common/base/error.h"
#include "worker/device/device.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct communicator;

struct communicator_operations {
    const char *name;
    /* The device whose memory all_reduce sums; borrowed as long as there is any to come. Once, or again for another. */
    int (*attach)(struct communicator *c, struct device *d, struct error *e);
    /* data f32 (count) += over ranks, element by element, by recursive halving and doubling (Rabenseifner 2004; Thakur,
     * Rabenseifner, Gropp 2005): partners differ in the highest bit of the rank first, in bit 0 last (the order contract of
     * train/plan.h). Ranks beyond the largest power of two are added to rank - power first. It comes after what the device was
     * asked so far, and no operation may use `data` until join. */
    int (*all_reduce)(struct communicator *c, device_memory data, size_t count, struct error *e);
    int (*join)(struct communicator *c, struct error *e);  /* what the device is asked next comes after all these sums */
    int (*watch)(struct communicator *c, struct error *e); /* never blocks: progress, and whether a sum has failed */
    int (*all_reduce_doubles)(struct communicator *c, double *data, size_t count, struct error *e); /* small; same order; waits */
    int (*broadcast)(struct communicator *c, void *data, size_t bytes, int root, struct error *e);
    /* Rank 0 receives sizes[r] bytes of each rank at into[r] (its own are copied); others pass NULL, NULL. */
    int (*gather)(struct communicator *c, const void *from, size_t bytes, void *const *into, const size_t *sizes,
                  struct error *e);
    int (*barrier)(struct communicator *c, struct error *e);
    void (*abort)(struct communicator *c, int code); /* ends all ranks of the group */
    void (*destroy)(struct communicator *c);
};

struct communicator {
    const struct communicator_operations *run;
    int rank, size;
    int local_rank;   /* among the ranks of the whole job on this machine: the number of its GPU, see gpu_use */
    double timeout;   /* seconds without any progress */
    uint64_t pending; /* sums that the device waits for, as of the last watch, whose deadline is watch's */
    bool fast;        /* sums of GPUs in NCCL's own order (cluster.reduction "fast"): other bits on another number of ranks. The
                       * same on all ranks; false after creation */
};

/* name: "self" (one rank), "mpi" (initialises MPI, so once in a process) or "nccl": MPI, but that GPUs sum by NCCL. With "mpi" a
 * GPU's sums go through the host. size: ranks of a group; an MPI job of more is split into groups of consecutive ranks, each with
 * a communicator of its own (abort still ends the whole job); 0: all of the job. */
int communicator_create(struct communicator **ret, const char *name, int size, double timeout, struct error *e);
/* Version of the NCCL that this process runs with, as NCCL counts: 10000 major + 100 minor + patch. 0: not in this build. */
int communicator_nccl_version(void);
