/* What ranks of a group do together. All calls are collective: all ranks, same order, same sizes. No rank waits without a
 * deadline: a peer that does not answer within `timeout` seconds is ERROR_FAILED naming operation, rank and host.
 *
 * Sums have one order whatever the number of ranks (a power of two): see all_reduce. */
#pragma once

#include "common/base/error.h"

#include <stddef.h>
#include <stdint.h>

struct communicator;

struct communicator_operations {
    const char *name;
    /* data += over ranks, element by element, by recursive halving and doubling (Rabenseifner 2004; Thakur, Rabenseifner, Gropp 2005):
     * partners differ in the highest bit of the rank first... see the order contract in train/plan.h. Started here, carried on by progress and wait. */
    int (*all_reduce_start)(struct communicator *c, float *data, size_t count, struct error *e);
    int (*progress)(struct communicator *c, struct error *e); /* never blocks */
    int (*wait)(struct communicator *c, struct error *e);     /* all started reductions are done */
    int (*all_reduce_doubles)(struct communicator *c, double *data, size_t count, struct error *e); /* small; same order; waits */
    int (*broadcast)(struct communicator *c, void *data, size_t bytes, int root, struct error *e);
    /* Rank 0 receives sizes[r] bytes of each rank at into[r] (its own are copied); others pass NULL, NULL. */
    int (*gather)(struct communicator *c, const void *from, size_t bytes, void *const *into, const size_t *sizes, struct error *e);
    int (*barrier)(struct communicator *c, struct error *e);
    void (*abort)(struct communicator *c, int code); /* ends all ranks of the group */
    void (*destroy)(struct communicator *c);
};

struct communicator {
    const struct communicator_operations *run;
    int rank, size;
    double timeout;
};

/* name: "self" (one rank) or "mpi" (MPI_COMM_WORLD; initialises MPI). */
int communicator_create(struct communicator **ret, const char *name, double timeout, struct error *e);
