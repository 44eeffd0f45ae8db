/* SPDX-License-Identifier: Apache-2.0 */
#include "common/text/merges.h"

#include "common/base/memory.h"

#include <stdlib.h>
#include <string.h>

#define NO_RANK UINT32_MAX

void merges_create(struct merges *m, size_t count)
{
    m->capacity = 16;
    while (m->capacity < 2 * count + 1)
        m->capacity *= 2;
    m->table = allocate(m->capacity, sizeof *m->table);
    for (size_t i = 0; i < m->capacity; i++)
        m->table[i].left = -1;
}

void merges_free(struct merges *m)
{
    free(m->table);
    *m = (struct merges){0};
}

void merges_put(struct merges *m, struct merge merge)
{
    size_t i = merge_slot(m, merge.left, merge.right);
    while (m->table[i].left >= 0 && (m->table[i].left != merge.left || m->table[i].right != merge.right))
        i = (i + 1) & (m->capacity - 1);
    m->table[i] = merge;
}

/* The scan. */

struct scan {
    uint32_t rank[MERGES_SCAN]; /* of symbol i with the next */
    int32_t id[MERGES_SCAN];    /* what they become */
};

static inline void look_up(const struct merges *m, struct scan *s, const int32_t *ids, size_t n, size_t i)
{
    const struct merge *found = i + 1 < n ? merges_find(m, ids[i], ids[i + 1]) : NULL;
    s->rank[i] = found ? found->rank : NO_RANK;
    s->id[i] = found ? found->id : -1;
}

size_t merges_apply_scan(const struct merges *m, int32_t *ids, size_t n)
{
    struct scan s;
    for (size_t i = 0; i < n; i++)
        look_up(m, &s, ids, n, i);
    for (;;) {
        size_t best = 0;
        for (size_t i = 1; i < n; i++)
            if (s.rank[i] < s.rank[best])
                best = i;
        if (!n || s.rank[best] == NO_RANK)
            return n;
        ids[best] = s.id[best];
        size_t behind = n - best - 2;
        memmove(ids + best + 1, ids + best + 2, behind * sizeof *ids);
        memmove(s.rank + best + 1, s.rank + best + 2, behind * sizeof *s.rank);
        memmove(s.id + best + 1, s.id + best + 2, behind * sizeof *s.id);
        n--;
        look_up(m, &s, ids, n, best);
        if (best)
            look_up(m, &s, ids, n, best - 1);
    }
}

/* The heap. */

struct merge_symbol {
    int32_t id, previous, next; /* id -1: merged into one before it; neighbours: indices, -1: none */
};

struct merge_entry {
    uint32_t rank, place;
    int32_t id;
};

void merge_scratch_free(struct merge_scratch *s)
{
    free(s->symbols);
    free(s->heap);
    *s = (struct merge_scratch){0};
}

static inline bool comes_before(const struct merge_entry *a, const struct merge_entry *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->place < b->place;
}

static void heap_push(struct merge_scratch *s, struct merge_entry entry)
{
    if (s->heap_count == s->heap_capacity)
        s->heap = grow(s->heap, &s->heap_capacity, s->heap_count + 1, sizeof *s->heap);
    size_t i = s->heap_count++;
    for (size_t parent; i && comes_before(&entry, &s->heap[parent = (i - 1) / 2]); i = parent)
        s->heap[i] = s->heap[parent];
    s->heap[i] = entry;
}

static struct merge_entry heap_pop(struct merge_scratch *s)
{
    struct merge_entry top = s->heap[0], last = s->heap[--s->heap_count];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < s->heap_count; i = child) {
        if (child + 1 < s->heap_count && comes_before(&s->heap[child + 1], &s->heap[child]))
            child++;
        if (!comes_before(&s->heap[child], &last))
            break;
        s->heap[i] = s->heap[child];
    }
    s->heap[i] = last;
    return top;
}

static void push_pair(const struct merges *m, struct merge_scratch *s, int32_t left)
{
    int32_t right = left < 0 ? -1 : s->symbols[left].next;
    const struct merge *found = right < 0 ? NULL : merges_find(m, s->symbols[left].id, s->symbols[right].id);
    if (found)
        heap_push(s, (struct merge_entry){found->rank, (uint32_t)left, found->id});
}

static void merge_top(const struct merges *m, struct merge_scratch *s, struct merge_entry top)
{
    struct merge_symbol *left = &s->symbols[top.place];
    if (left->id < 0 || left->next < 0)
        return;
    struct merge_symbol *right = &s->symbols[left->next];
    const struct merge *found = merges_find(m, left->id, right->id);
    if (!found || found->id != top.id) /* an entry that is out of date */
        return;
    left->id = top.id;
    left->next = right->next;
    right->id = -1;
    if (left->next >= 0)
        s->symbols[left->next].previous = (int32_t)top.place;
    push_pair(m, s, left->previous);
    push_pair(m, s, (int32_t)top.place);
}

size_t merges_apply_heap(const struct merges *m, int32_t *ids, size_t n, struct merge_scratch *s)
{
    size_t left = 0;
    s->symbols = grow(s->symbols, &s->symbol_capacity, n, sizeof *s->symbols);
    s->heap_count = 0;
    for (size_t i = 0; i < n; i++)
        s->symbols[i] = (struct merge_symbol){ids[i], (int32_t)i - 1, i + 1 < n ? (int32_t)i + 1 : -1};
    for (size_t i = 0; i + 1 < n; i++)
        push_pair(m, s, (int32_t)i);
    while (s->heap_count)
        merge_top(m, s, heap_pop(s));
    for (size_t i = 0; i < n; i++)
        if (s->symbols[i].id >= 0)
            ids[left++] = s->symbols[i].id;
    return left;
}
