/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/dispatch/lease.h"

#include "common/base/memory.h"

#include <stdlib.h>

void leases_create(struct leases *l, size_t count)
{
    *l = (struct leases){.items = allocate(count, sizeof(struct lease)), .count = count, .in = {[LEASE_QUEUED] = count}};
}

void leases_free(struct leases *l)
{
    free(l->items);
    *l = (struct leases){0};
}

bool leases_next(struct leases *l, size_t *trial)
{
    while (l->first < l->count && l->items[l->first].state != LEASE_QUEUED)
        l->first++;
    *trial = l->first;
    return l->first < l->count;
}

int leases_move(struct leases *l, size_t trial, enum lease_state to, struct error *e)
{
    int *state = &l->items[trial].state, from = *state;
    if (state_move(&lease_states, state, to, e))
        return -1;
    l->in[from]--;
    l->in[to]++;
    if (to == LEASE_QUEUED && trial < l->first)
        l->first = trial;
    return 0;
}

size_t leases_in(const struct leases *l, enum lease_state state)
{
    return l->in[state];
}
