/* SPDX-License-Identifier: Apache-2.0 */
/* The merges of a BPE model, and their application to a run of symbols. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct merge {
    int32_t left, right; /* symbols; left -1: a free place of the table */
    uint32_t rank;
    int32_t id; /* what the pair becomes */
};

struct merges {
    struct merge *table; /* open addressing; at most half full */
    size_t capacity;     /* a power of two */
};

void merges_create(struct merges *m, size_t count); /* for so many pairs */
void merges_free(struct merges *m);
/* Of a pair that is there already the rank becomes this one, as in `tokenizers`. */
void merges_put(struct merges *m, struct merge merge);

static inline size_t merge_slot(const struct merges *m, int32_t left, int32_t right)
{
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    key *= 0x9E3779B97F4A7C15u;
    return (key ^ key >> 32) & (m->capacity - 1);
}

static inline const struct merge *merges_find(const struct merges *m, int32_t left, int32_t right) /* NULL: no such merge */
{
    for (size_t i = merge_slot(m, left, right);; i = (i + 1) & (m->capacity - 1)) {
        const struct merge *found = &m->table[i];
        if (found->left == left && found->right == right)
            return found;
        if (found->left < 0)
            return NULL;
    }
}

/* Memory of merges_apply_heap, kept from call to call; zero-initialise. */
struct merge_scratch {
    struct merge_symbol *symbols;
    size_t symbol_capacity;
    struct merge_entry *heap;
    size_t heap_capacity, heap_count;
};
void merge_scratch_free(struct merge_scratch *s);

#define MERGES_SCAN 32 /* most symbols of merges_apply_scan */

/* Merge the symbols ids (n) in place until nothing is left to merge; return how many there are then. The scan looks for the
 * lowest rank each time; the heap is `tokenizers`' own algorithm, for long runs and as the reference. */
size_t merges_apply_scan(const struct merges *m, int32_t *ids, size_t n);
size_t merges_apply_heap(const struct merges *m, int32_t *ids, size_t n, struct merge_scratch *s);
