/* SPDX-License-Identifier: Apache-2.0 */
/* The memory of one call of tokenizer_encode, and the pool that keeps it from call to call. Only pipeline.c and workspace.c
 * include this. */
#pragma once

#include "common/text/pipeline.h"

#include <string.h>

#define PRE_TOKENIZER_STEPS 16 /* most of a pipeline */
#define CACHE_BITS 16          /* 4 MB */
#define CACHE_KEY 30           /* longest piece that is cached, in bytes */
#define CACHE_IDS 8

/* A piece and its tokens: a cache line. size 0: free. */
struct cache_entry {
    uint8_t size, count;
    char key[CACHE_KEY];
    int32_t ids[CACHE_IDS];
};

struct workspace {
    struct workspace *next; /* in the pool */
    void *scratch;          /* the model's */
    struct buffer normal[2];
    struct buffer memory[PRE_TOKENIZER_STEPS];
    struct cache_entry cache[1 << CACHE_BITS];
};

/* The last sink of a pipeline. */
struct encoding {
    struct piece_sink sink; /* first: the sink is this */
    const struct pipeline *pipeline;
    struct workspace *workspace;
    struct token_list *to;
    size_t stop;
    bool is_full;
};

static inline uint64_t load_eight(const char *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

/* The last eight bytes, or all that there are: no two texts of one size below 8 give the same. */
static inline uint64_t load_end(const char *text, size_t size)
{
    uint32_t low, high;
    if (size >= 8)
        return load_eight(text + size - 8);
    if (size >= 4) {
        memcpy(&low, text, sizeof low);
        memcpy(&high, text + size - 4, sizeof high);
        return low | (uint64_t)high << 32;
    }
    return size ? (uint8_t)text[0] | (uint64_t)(uint8_t)text[size / 2] << 8 | (uint64_t)(uint8_t)text[size - 1] << 16 : 0;
}

static inline size_t cache_slot(const char *text, size_t size)
{
    const uint64_t factor = 0x9E3779B97F4A7C15u;
    uint64_t hash = size * factor;
    for (size_t i = 0; i + 8 < size; i += 8) {
        hash = (hash ^ load_eight(text + i)) * factor;
        hash ^= hash >> 29;
    }
    return ((hash ^ load_end(text, size)) * factor) >> (64 - CACHE_BITS) & ~(size_t)1; /* the first of two places */
}

static inline bool cache_has(const struct cache_entry *c, const char *text, size_t size)
{
    if (c->size != size)
        return false;
    for (size_t i = 0; i + 8 < size; i += 8)
        if (load_eight(c->key + i) != load_eight(text + i))
            return false;
    return load_end(c->key, size) == load_end(text, size);
}

/* Into the first of a slot's two places; what was there goes to the second. */
static inline void cache_store(struct cache_entry *c, const char *text, size_t size, const int32_t *ids, size_t count)
{
    if (count > CACHE_IDS)
        return;
    c[1] = c[0];
    c->size = (uint8_t)size;
    c->count = (uint8_t)count;
    memcpy(c->key, text, size);
    if (count)
        memcpy(c->ids, ids, count * sizeof *ids);
}

struct workspace_pool *workspace_pool_create(void);
void workspace_pool_destroy(struct workspace_pool **pool, const struct token_model *m);
