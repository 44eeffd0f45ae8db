/* SPDX-License-Identifier: Apache-2.0 */
#include "common/text/vocabulary.h"

#include "common/base/memory.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 256
#define NOBODY UINT32_MAX
#define TRIES 64 /* free places looked at before a new block is taken */

struct key {
    const uint8_t *bytes;
    int32_t id;
};

/* Keys [low, high) share their first `depth` bytes, which lead to `node`. */
struct task {
    size_t low, high, depth;
    uint32_t node;
};

struct builder {
    struct vocabulary *v;
    uint32_t *free_places; /* those not taken, and some that were: pruned as they are met */
    size_t free_count, free_capacity;
    struct task *tasks;
    size_t task_count, task_capacity;
};

static int compare_keys(const void *a, const void *b)
{
    return strcmp((const char *)((const struct key *)a)->bytes, (const char *)((const struct key *)b)->bytes);
}

static void add_block(struct builder *b)
{
    struct vocabulary *v = b->v;
    v->nodes = grow(v->nodes, &v->capacity, v->count + BLOCK, sizeof *v->nodes);
    b->free_places = grow(b->free_places, &b->free_capacity, b->free_count + BLOCK, sizeof *b->free_places);
    for (uint32_t i = 0; i < BLOCK; i++) {
        uint32_t place = (uint32_t)v->count + i;
        v->nodes[place] = (struct vocabulary_node){0, NOBODY, -1};
        if (place > VOCABULARY_CONTINUE)
            b->free_places[b->free_count++] = place;
    }
    v->count += BLOCK;
}

static bool fits(const struct builder *b, uint32_t base, const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t place = base ^ bytes[i];
        if (place <= VOCABULARY_CONTINUE || b->v->nodes[place].parent != NOBODY)
            return false;
    }
    return true;
}

static uint32_t find_base(struct builder *b, const uint8_t *bytes, size_t count)
{
    size_t looked = 0;
    for (size_t i = b->free_count; i-- && looked < TRIES; looked++) {
        uint32_t place = b->free_places[i];
        if (b->v->nodes[place].parent != NOBODY) {
            b->free_places[i] = b->free_places[--b->free_count];
            continue;
        }
        if (fits(b, place ^ bytes[0], bytes, count))
            return place ^ bytes[0];
    }
    uint32_t first = (uint32_t)b->v->count;
    add_block(b);
    return first;
}

static void expand(struct builder *b, const struct key *keys, struct task t)
{
    uint8_t bytes[BLOCK];
    size_t count = 0;
    if (!keys[t.low].bytes[t.depth])
        b->v->nodes[t.node].id = keys[t.low++].id;
    for (size_t i = t.low; i < t.high; i++)
        if (!count || bytes[count - 1] != keys[i].bytes[t.depth])
            bytes[count++] = keys[i].bytes[t.depth];
    if (!count)
        return;
    uint32_t base = find_base(b, bytes, count);
    b->v->nodes[t.node].base = base;
    b->tasks = grow(b->tasks, &b->task_capacity, b->task_count + count, sizeof *b->tasks);
    size_t low = t.low;
    for (size_t i = 0; i < count; i++) {
        size_t high = low;
        while (high < t.high && keys[high].bytes[t.depth] == bytes[i])
            high++;
        uint32_t child = base ^ bytes[i];
        b->v->nodes[child].parent = t.node;
        b->tasks[b->task_count++] = (struct task){low, high, t.depth + 1, child};
        low = high;
    }
}

static void build_root(struct builder *b, struct key *keys, size_t count, uint32_t root)
{
    if (!count)
        return;
    qsort(keys, count, sizeof *keys, compare_keys);
    b->tasks = grow(b->tasks, &b->task_capacity, 1, sizeof *b->tasks);
    b->tasks[b->task_count++] = (struct task){0, count, 0, root};
    while (b->task_count)
        expand(b, keys, b->tasks[--b->task_count]);
}

void vocabulary_build(struct vocabulary *v, const struct vocabulary_entry *entries, size_t count, const char *prefix)
{
    struct key *keys = allocate(count, sizeof *keys);
    struct builder b = {.v = v};
    *v = (struct vocabulary){0};
    add_block(&b);
    size_t used = 0, prefix_size = prefix ? strlen(prefix) : 0;
    for (size_t i = 0; i < count; i++)
        if (*entries[i].word) /* an empty word matches nothing */
            keys[used++] = (struct key){(const uint8_t *)entries[i].word, entries[i].id};
    build_root(&b, keys, used, VOCABULARY_START);
    used = 0;
    for (size_t i = 0; i < count && prefix; i++)
        if (!strncmp(entries[i].word, prefix, prefix_size) && entries[i].word[prefix_size])
            keys[used++] = (struct key){(const uint8_t *)entries[i].word + prefix_size, entries[i].id};
    build_root(&b, keys, used, VOCABULARY_CONTINUE);
    free(keys);
    free(b.free_places);
    free(b.tasks);
}

void vocabulary_free(struct vocabulary *v)
{
    free(v->nodes);
    *v = (struct vocabulary){0};
}
