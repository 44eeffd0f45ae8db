/* SPDX-License-Identifier: Apache-2.0 */
/* Owns which rows of a step share a micro-batch. Two heaps: one sorts the rows in place (qsort may allocate), one holds the
 * micro-batches that have room. */
#include "worker/train/balance.h"

#include <stdbool.h>

static bool longer(struct row_length a, struct row_length b)
{
    return a.length != b.length ? a.length > b.length : a.row < b.row;
}

/* Moves item `at` down until no child of it sorts behind it: the root is what sorts last. */
static uint64_t sink_row(struct row_length *items, uint32_t count, uint32_t at)
{
    uint64_t comparisons = 0;
    for (uint64_t child; (child = 2 * (uint64_t)at + 1) < count; at = (uint32_t)child) {
        comparisons += 2;
        if (child + 1 < count && longer(items[child], items[child + 1]))
            child++;
        if (!longer(items[at], items[child]))
            break;
        struct row_length item = items[at];
        items[at] = items[child];
        items[child] = item;
    }
    return comparisons;
}

static uint64_t sort(struct row_length *items, uint32_t count)
{
    uint64_t comparisons = 0;
    for (uint32_t i = count / 2; i-- > 0;)
        comparisons += sink_row(items, count, i);
    for (uint32_t last = count; last-- > 1;) {
        struct row_length item = items[last];
        items[last] = items[0];
        items[0] = item;
        comparisons += sink_row(items, last, 0);
    }
    return comparisons;
}

static bool emptier(const struct assignment *assignments, uint32_t a, uint32_t b)
{
    return assignments[a].tokens != assignments[b].tokens ? assignments[a].tokens < assignments[b].tokens : a < b;
}

/* Moves the root down until no child of it is emptier. */
static uint64_t sink_micro_batch(uint32_t *order, uint32_t count, const struct assignment *assignments)
{
    uint64_t comparisons = 0;
    uint32_t at = 0;
    for (uint64_t child; (child = 2 * (uint64_t)at + 1) < count; at = (uint32_t)child) {
        comparisons += 2;
        if (child + 1 < count && emptier(assignments, order[child + 1], order[child]))
            child++;
        if (!emptier(assignments, order[child], order[at]))
            break;
        uint32_t micro_batch = order[at];
        order[at] = order[child];
        order[child] = micro_batch;
    }
    return comparisons;
}

uint64_t balance_micro_batches(uint32_t *ret, struct row_length *items, uint32_t count, uint32_t micro_batch,
                               struct assignment *assignments, uint32_t *order)
{
    uint32_t open = (count + micro_batch - 1) / micro_batch, short_one = count % micro_batch ? open - 1 : UINT32_MAX;
    for (uint32_t j = 0; j < open; j++) {
        assignments[j] = (struct assignment){0};
        order[j] = j;
    }
    uint64_t comparisons = sort(items, count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t emptiest = order[0];
        struct assignment *a = &assignments[emptiest];
        ret[emptiest * micro_batch + a->rows++] = items[i].row;
        a->tokens += items[i].length;
        if (a->rows == (emptiest == short_one ? count % micro_batch : micro_batch))
            order[0] = order[--open]; /* full */
        comparisons += sink_micro_batch(order, open, assignments);
    }
    return comparisons;
}
