/* SPDX-License-Identifier: Apache-2.0 */
/* American flag sort (McIlroy, Bostic, McIlroy 1993), most significant byte first: of the key, then of the row. */
#include "common/base/key_sort.h"

#include "common/base/parallel.h"

enum { DIGITS = 256, LEVELS = 12, SMALL = 32 };

static unsigned digit(const struct key_row *entry, int level)
{
    return level < 8 ? entry->key >> (56 - 8 * level) & 0xff : entry->row >> (24 - 8 * (level - 8)) & 0xff;
}

static bool is_before(const struct key_row *a, const struct key_row *b)
{
    return a->key != b->key ? a->key < b->key : a->row < b->row;
}

static void insert_all(struct key_row *entries, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct key_row moved = entries[i];
        size_t at = i;
        for (; at > 0 && is_before(&moved, &entries[at - 1]); at--)
            entries[at] = entries[at - 1];
        entries[at] = moved;
    }
}

/* Entries into their buckets of one level; bucket d lies from start[d] to start[d + 1]. */
static void deal(struct key_row *entries, size_t count, int level, size_t start[DIGITS + 1])
{
    size_t next[DIGITS], sizes[DIGITS] = {0};
    for (size_t i = 0; i < count; i++)
        sizes[digit(&entries[i], level)]++;
    start[0] = 0;
    for (unsigned d = 0; d < DIGITS; d++) {
        next[d] = start[d];
        start[d + 1] = start[d] + sizes[d];
    }
    for (unsigned d = 0; d < DIGITS; d++)
        while (next[d] < start[d + 1]) {
            struct key_row moved = entries[next[d]];
            for (unsigned to; (to = digit(&moved, level)) != d;) {
                struct key_row other = entries[next[to]];
                entries[next[to]++] = moved;
                moved = other;
            }
            entries[next[d]++] = moved;
        }
}

static void sort(struct key_row *entries, size_t count, int level)
{
    size_t start[DIGITS + 1];
    if (count <= SMALL || level == LEVELS) {
        insert_all(entries, count);
        return;
    }
    deal(entries, count, level, start);
    for (unsigned d = 0; d < DIGITS; d++)
        if (start[d + 1] - start[d] > 1)
            sort(entries + start[d], start[d + 1] - start[d], level + 1);
}

struct sorting {
    struct key_row *entries;
    size_t start[DIGITS + 1];
};

static void sort_buckets(void *context, size_t begin, size_t end)
{
    const struct sorting *s = context;
    for (size_t d = begin; d < end; d++)
        sort(s->entries + s->start[d], s->start[d + 1] - s->start[d], 1);
}

int key_rows_sort(struct key_row *entries, size_t count, struct error *e)
{
    struct sorting s = {.entries = entries};
    if (count <= SMALL) {
        insert_all(entries, count);
        return 0;
    }
    deal(entries, count, 0, s.start);
    return parallel_blocks(DIGITS, count < 65536 ? DIGITS : 4, sort_buckets, &s, e);
}

void key_rows_sort_here(struct key_row *entries, size_t count)
{
    sort(entries, count, 0);
}
