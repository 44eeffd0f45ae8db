/* SPDX-License-Identifier: Apache-2.0 */
/* The hash table of texts: open addressing, grown at half load. */
#include "common/base/table.h"

#include "common/base/memory.h"

#include <stdlib.h>
#include <string.h>

struct table {
    uint32_t *slots; /* number + 1, or 0 */
    size_t slot_count;
    struct entry {
        uint64_t hash;
        const char *key;
    } * entries;
    size_t count, capacity;
};

static uint64_t hash_of(const char *key) /* FNV-1a, with a final mix for the low bits that choose the slot */
{
    uint64_t h = 14695981039346656037u;
    for (; *key; key++)
        h = (h ^ (unsigned char)*key) * 1099511628211u;
    return h ^ h >> 29;
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
    free((*t)->entries);
    free(*t);
    *t = NULL;
}

size_t table_count(const struct table *t)
{
    return t->count;
}

/* The slot that holds key, or the empty one where it belongs. */
static size_t slot_of(const struct table *t, const char *key, uint64_t hash)
{
    size_t slot = hash & (t->slot_count - 1);
    for (; t->slots[slot]; slot = (slot + 1) & (t->slot_count - 1)) {
        const struct entry *found = &t->entries[t->slots[slot] - 1];
        if (found->hash == hash && !strcmp(found->key, key))
            break;
    }
    return slot;
}

uint32_t table_find(const struct table *t, const char *key)
{
    return t->slots[slot_of(t, key, hash_of(key))] - 1; /* 0 - 1 is TABLE_ABSENT */
}

static void grow_slots(struct table *t)
{
    free(t->slots);
    t->slot_count *= 2;
    t->slots = allocate(t->slot_count, sizeof *t->slots);
    for (size_t i = 0; i < t->count; i++)
        t->slots[slot_of(t, t->entries[i].key, t->entries[i].hash)] = (uint32_t)i + 1;
}

uint32_t table_add(struct table *t, const char *key)
{
    uint64_t hash = hash_of(key);
    size_t slot = slot_of(t, key, hash);
    if (t->slots[slot])
        return t->slots[slot] - 1;
    if (2 * (t->count + 1) > t->slot_count) {
        grow_slots(t);
        slot = slot_of(t, key, hash);
    }
    t->entries = grow(t->entries, &t->capacity, t->count + 1, sizeof *t->entries);
    t->entries[t->count] = (struct entry){hash, key};
    t->slots[slot] = (uint32_t)t->count + 1;
    return (uint32_t)t->count++;
}

const char *table_key(const struct table *t, uint32_t number)
{
    return t->entries[number].key;
}
