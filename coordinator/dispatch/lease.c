/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/dispatch/lease.h"

#include "common/base/memory.h"

#include <stdlib.h>

void leases_create(struct leases *l, size_t count)
{
    *l = (struct leases){allocate(count, sizeof(struct lease)), count};
}

void leases_free(struct leases *l)
{
    free(l->items);
    *l = (struct leases){0};
}

bool leases_next(const struct leases *l, size_t *trial)
{
    for (size_t i = 0; i < l->count; i++)
        if (l->items[i].state == LEASE_QUEUED) {
            *trial = i;
            return true;
        }
    return false;
}

size_t leases_in(const struct leases *l, enum lease_state state)
{
    size_t count = 0;
    for (size_t i = 0; i < l->count; i++)
        count += l->items[i].state == (int)state;
    return count;
}
