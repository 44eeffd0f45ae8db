/* SPDX-License-Identifier: Apache-2.0 */
/* Rows that repeat each other, dropped or kept together. */
#include "coordinator/data/repeats.h"

#include "common/base/memory.h"
#include "common/base/table.h"

#include <stdlib.h>
#include <string.h>

static uint64_t drop(struct records *r, const uint32_t *root)
{
    size_t kept = 0, count = r->count;
    for (size_t i = 0; i < count; i++)
        if (root[i] == i)
            r->rows[kept++] = r->rows[i];
    records_rest(r);
    r->count = kept;
    return count - kept;
}

/* ---- union-find; the root of a set is its first row ---- */

static uint32_t find(uint32_t *parent, uint32_t i)
{
    while (parent[i] != i) {
        parent[i] = parent[parent[i]];
        i = parent[i];
    }
    return i;
}

static void join(uint32_t *parent, uint32_t a, uint32_t b)
{
    a = find(parent, a);
    b = find(parent, b);
    parent[a > b ? a : b] = a < b ? a : b;
}

static uint64_t group(struct records *r, const uint32_t *root)
{
    uint32_t *parent = allocate(r->count, sizeof *parent), *first = allocate(r->count, sizeof *first);
    uint64_t joined = 0;
    struct table *groups;
    table_create(&groups);
    for (uint32_t i = 0; i < r->count; i++) {
        size_t known = table_count(groups);
        uint32_t number = table_add(groups, r->rows[i].group);
        parent[i] = i;
        if (number == known)
            first[number] = i;
    }
    for (uint32_t i = 0; i < r->count; i++) {
        join(parent, i, first[table_find(groups, r->rows[i].group)]);
        join(parent, i, root[i]);
    }
    for (uint32_t i = 0; i < r->count; i++) { /* a set's first row comes first: its name stays */
        const char *name = r->rows[find(parent, i)].group;
        joined += strcmp(r->rows[i].group, name) != 0;
        r->rows[i].group = name;
    }
    table_destroy(&groups);
    free(first);
    free(parent);
    return joined;
}

struct repeats repeats_apply(struct records *r, const char *mode, const struct near_duplicates *near)
{
    struct repeats done = {0};
    if (strcmp(mode, "drop") == 0)
        done.dropped = drop(r, near->root);
    else if (strcmp(mode, "group") == 0)
        done.joined = group(r, near->root);
    return done;
}
