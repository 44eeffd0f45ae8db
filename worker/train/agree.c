/* SPDX-License-Identifier: Apache-2.0 */
/* Owns agreement among ranks about failures. */
#include "worker/train/agree.h"

#include "common/base/memory.h"

#include <stdlib.h>

int agree(struct communicator *c, int result, struct error *e)
{
    if (c->size == 1)
        return result ? -1 : 0;
    double *failed = allocate((size_t)c->size, sizeof *failed);
    failed[c->rank] = result != 0;
    int first = 0, lost = c->run->all_reduce_doubles(c, failed, (size_t)c->size, e);
    while (!lost && first < c->size && !failed[first])
        first++;
    free(failed);
    if (lost)
        return -1;
    if (first == c->size)
        return 0;
    struct error first_error = *e;
    if (c->run->broadcast(c, &first_error, sizeof first_error, first, e))
        return -1;
    *e = first_error;
    return c->rank == first ? -1 : error_prefix(e, "rank %d: ", first);
}
