/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/cli/init_repeats.h"

#include "common/base/memory.h"
#include "common/base/table.h"
#include "coordinator/data/near_duplicates.h"
#include "coordinator/data/row_facts.h"

#include <stdlib.h>

/* first (rows): of each set of rows with the same root the first that is not left out, in the root's place. */
static uint32_t *first_of(const uint32_t *root, const uint8_t *part, size_t count)
{
    uint32_t *first = allocate(count, sizeof *first);
    for (size_t i = 0; i < count; i++)
        first[i] = UINT32_MAX;
    for (uint32_t i = 0; i < count; i++)
        if (part[i] != PART_COUNT && first[root[i]] == UINT32_MAX)
            first[root[i]] = i;
    return first;
}

static void count_repeats(struct init_repeats *c, const struct records *r, const uint8_t *part, const uint32_t *exact,
                          const uint32_t *near)
{
    uint32_t *first_exact = first_of(exact, part, r->count), *first_near = first_of(near, part, r->count);
    for (uint32_t i = 0; i < r->count; i++) {
        if (part[i] == PART_COUNT)
            continue;
        uint32_t first = first_exact[exact[i]];
        c->rows++;
        c->part_rows[part[i]]++;
        c->near += first_near[near[i]] != i;
        c->exact += first != i;
        c->conflicts += !records_agree(&r->rows[i], &r->rows[first]);
    }
    free(first_exact);
    free(first_near);
}

static void count_leaks(struct init_repeats *c, size_t count, const uint8_t *part, const uint32_t *exact)
{
    bool *trained = allocate(count, sizeof *trained);
    for (uint32_t i = 0; i < count; i++)
        trained[exact[i]] |= part[i] == PART_TRAIN;
    for (uint32_t i = 0; i < count; i++)
        if (part[i] == PART_VALIDATION || part[i] == PART_TEST)
            c->leaks[part[i]] += trained[exact[i]];
    free(trained);
}

static void count_groups(struct init_repeats *c, const struct records *r, const uint8_t *part)
{
    struct table *groups;
    uint8_t *parts = allocate(r->count, sizeof *parts);
    table_create(&groups);
    for (size_t i = 0; i < r->count; i++)
        if (part[i] != PART_COUNT)
            parts[table_add(groups, r->rows[i].group)] |= (uint8_t)(1 << part[i]);
    c->groups = table_count(groups);
    for (size_t g = 0; g < c->groups; g++)
        c->shared_groups += (parts[g] & (parts[g] - 1)) != 0;
    table_destroy(&groups);
    free(parts);
}

int init_find_repeats(struct init_repeats *ret, const struct records *r, const uint8_t *part, struct error *e)
{
    struct init_repeats c = {0};
    struct near_duplicates near = {0};
    uint32_t *exact = NULL;
    int result = exact_duplicates(&exact, r, e) || near_duplicates_find(&near, r, exact, e) ? -1 : 0;
    if (!result) {
        count_repeats(&c, r, part, exact, near.root);
        count_leaks(&c, r->count, part, exact);
        count_groups(&c, r, part);
        *ret = c;
    }
    near_duplicates_free(&near);
    free(exact);
    return result;
}
