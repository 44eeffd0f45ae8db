/* What ranks must agree on before they go on: that all of them are well. */
#pragma once

#include "worker/comm/communicator.h"

/* All ranks: 0 if `result` is 0 on every rank; otherwise -1 and, on every rank, the words of the first rank that failed (its own
 * *e). */
int group_agree(struct communicator *c, int result, struct error *e);
