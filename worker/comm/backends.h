/* SPDX-License-Identifier: Apache-2.0 */
/* The kinds of communicator: for communicator.c, which chooses one by name, and for NCCL's, which stands on MPI's. */
#pragma once

#include "worker/comm/communicator.h"

int self_create(struct communicator **ret, int size, double timeout, struct error *e);
int mpi_create(struct communicator **ret, int size, double timeout, struct error *e);
int nccl_create(struct communicator **ret, int size, double timeout, struct error *e);

/* --- of a communicator that mpi_create made --- */

/* While a call waits for a message, `look` is called; where it fails, the call fails with its message. NULL: nothing. */
void mpi_watch_beside(struct communicator *c, int (*look)(void *context, struct error *e), void *context);
const char *mpi_host(const struct communicator *c, int rank); /* borrowed */

/* How far a rank has come with the sums that it was asked for. reached: its GPU has come to them. */
struct mpi_standing {
    uint64_t asked, reached, done;
    char failure[512]; /* what has failed on it; "": it only waits for others */
};

/* When something has failed: tells all ranks how far this one is and hears from those that answer within `seconds`. all[r] is set
 * where answered[r]. A rank that is told so by mpi_roll_is_called calls the roll as well: thus it answers. Works after a failure,
 * too; once. */
void mpi_roll_call(struct communicator *c, const struct mpi_standing *mine, struct mpi_standing *all /* (size) */,
                   bool *answered /* (size) */, double seconds);
bool mpi_roll_is_called(struct communicator *c);                 /* some rank does. Never blocks */
void mpi_break(struct communicator *c, const struct error *why); /* from now on every call fails with it */
