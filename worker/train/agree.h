/* SPDX-License-Identifier: Apache-2.0 */
/* What ranks must agree on before they go on: that none of them has failed. */
#pragma once

#include "worker/comm/communicator.h"

/* All ranks: 0 if `result` is 0 on every rank; otherwise -1 and, on every rank, the message of the first rank that failed (its
 * own *e), or that of the communicator where it failed meanwhile. */
int agree(struct communicator *c, int result, struct error *e);
