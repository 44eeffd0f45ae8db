/* SPDX-License-Identifier: Apache-2.0 */
/* What ranks must agree on before they go on: that none of them has failed. */
#pragma once

#include "worker/comm/communicator.h"

/* All ranks: 0 if `result` is 0 on every rank; otherwise -1 and, on every rank, the message of the first rank that failed (its
 * own *e), or that of the communicator where it failed meanwhile. */
int agree(struct communicator *c, int result, struct error *e);
/* all_reduce_doubles of values f64 (count + 1), of which the last is this function's, and whether all ranks are well. own: this
 * rank's failure, kind ERROR_NONE if there is none; its words name the rank. -1 on every rank otherwise: with its own words on
 * one that has failed and lost the others by it, or those of the first that failed, or the communicator's. */
int agree_on(struct communicator *c, double *values, size_t count, const struct error *own, struct error *e);
