/* SPDX-License-Identifier: Apache-2.0 */
/* The hash table of texts: open addressing, grown at two thirds. A slot holds 32 bits of its key's hash, so that looking up and
 * growing read keys only where these agree. */
#include "common/base/table.h"

#include "common/base/memory.h"

#include <stdlib.h>
#include <string.h>

struct slot {
    uint32_t number; /* + 1, or 0 */
    uint32_t hash;
};

struct table {
    struct slot *slots;
    size_t slot_count;
    const char **keys; /* by number */
    size_t count, capacity;
};

static uint32_t hash_of(const char *key) /* FNV-1a, with a final mix for the low bits that choose the slot */
{
    uint64_t h = 14695981039346656037u;
    for (; *key; key++)
        h = (h ^ (unsigned char)*key) * 1099511628211u;
    return (uint32_t)(h ^ h >> 29);
}

void table_create(struct table **ret)
{
    struct table *t = allocate(1, sizeof *t);
    t->slot_count = 64;
    t->slots = allocate(t->slot_count, sizeof *t->slots);
    *ret = t;
}

void table_destroy(struct table **t)
{
    if (!t || !*t)
        return;
    free((*t)->slots);
    free((*t)->keys);
    free(*t);
    *t = NULL;
}

size_t table_count(const struct table *t)
{
    return t->count;
}

/* The slot that holds key, or the empty one where it belongs. */
static struct slot *slot_of(const struct table *t, const char *key, uint32_t hash)
{
    size_t at = hash & (t->slot_count - 1);
    while (t->slots[at].number && (t->slots[at].hash != hash || strcmp(t->keys[t->slots[at].number - 1], key) != 0))
        at = (at + 1) & (t->slot_count - 1);
    return &t->slots[at];
}

uint32_t table_find(const struct table *t, const char *key)
{
    return slot_of(t, key, hash_of(key))->number - 1; /* 0 - 1 is TABLE_ABSENT */
}

/* The keys all differ. */
static void grow_slots(struct table *t)
{
    struct slot *old = t->slots;
    size_t count = t->slot_count;
    t->slot_count *= 2;
    t->slots = allocate(t->slot_count, sizeof *t->slots);
    for (size_t i = 0; i < count; i++) {
        size_t at = old[i].hash & (t->slot_count - 1);
        if (!old[i].number)
            continue;
        while (t->slots[at].number)
            at = (at + 1) & (t->slot_count - 1);
        t->slots[at] = old[i];
    }
    free(old);
}

uint32_t table_add(struct table *t, const char *key)
{
    uint32_t hash = hash_of(key);
    struct slot *slot = slot_of(t, key, hash);
    if (slot->number)
        return slot->number - 1;
    if (3 * (t->count + 1) > 2 * t->slot_count) {
        grow_slots(t);
        slot = slot_of(t, key, hash);
    }
    t->keys = grow(t->keys, &t->capacity, t->count + 1, sizeof *t->keys);
    t->keys[t->count] = key;
    *slot = (struct slot){(uint32_t)t->count + 1, hash};
    return (uint32_t)t->count++;
}

const char *table_key(const struct table *t, uint32_t number)
{
    return t->keys[number];
}
