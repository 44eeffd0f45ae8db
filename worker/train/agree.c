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

/* The communicator's words are an echo where it fails because this rank has. */
static int fail(const struct error *own, struct error *e)
{
    if (own->kind)
        *e = *own;
    return -1;
}

int agree_on(struct communicator *c, double *values, size_t count, const struct error *own, struct error *e)
{
    int first = 0;
    values[count] = own->kind != ERROR_NONE;
    if (c->run->all_reduce_doubles(c, values, count + 1, e))
        return fail(own, e);
    if (values[count] == 0)
        return 0;
    double *failed = allocate((size_t)c->size, sizeof *failed);
    failed[c->rank] = own->kind != ERROR_NONE;
    int lost = c->run->all_reduce_doubles(c, failed, (size_t)c->size, e);
    while (!lost && failed[first] == 0)
        first++;
    free(failed);
    struct error words = *own;
    if (lost || c->run->broadcast(c, &words, sizeof words, first, e))
        return fail(own, e);
    *e = words;
    return -1;
}
