/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/data/split_time.h"

#include "common/base/date.h"
#include "common/base/memory.h"
#include "common/base/table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct timed_row {
    double time;
    uint32_t row;
};

/* Rows in order of time; a cut at k has the first k rows before it. */
struct timeline {
    const struct dataset *d;
    const struct row_facts *facts;
    struct timed_row *rows;
    uint32_t count;
    bool *ties_allow, *groups_allow; /* (count) of a cut at k */
};

static int by_time(const void *a, const void *b)
{
    const struct timed_row *x = a, *y = b;
    if (x->time != y->time)
        return x->time < y->time ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

static const char *group_at(const struct timeline *t, uint32_t k)
{
    return dataset_group(t->d, t->rows[k].row);
}

static void find_cuts(struct timeline *t)
{
    uint32_t *last = allocate(t->count, sizeof *last), reach = 0;
    struct table *groups;
    table_create(&groups);
    for (uint32_t k = 0; k < t->count; k++)
        last[table_add(groups, group_at(t, k))] = k;
    for (uint32_t k = 1; k < t->count; k++) {
        uint32_t end = last[table_find(groups, group_at(t, k - 1))];
        reach = end > reach ? end : reach;
        t->ties_allow[k] = t->rows[k - 1].time < t->rows[k].time;
        t->groups_allow[k] = reach < k;
    }
    table_destroy(&groups);
    free(last);
}

static bool is_cut(const struct timeline *t, uint32_t k, bool whole_groups)
{
    return t->ties_allow[k] && (!whole_groups || t->groups_allow[k]);
}

/* The cut from `low` to `high` that is nearest to `wanted`, of two the earlier; 0: none. */
static uint32_t nearest_cut(const struct timeline *t, uint32_t low, uint32_t high, uint32_t wanted, bool whole_groups)
{
    uint32_t best = 0;
    for (uint32_t k = low; k <= high && k < t->count; k++)
        if (is_cut(t, k, whole_groups) && (!best || labs((long)k - (long)wanted) < labs((long)best - (long)wanted)))
            best = k;
    return best;
}

/* Two cuts, the second behind the first. */
static bool find_both(uint32_t cuts[2], const struct timeline *t, const struct job *j, bool whole_groups)
{
    uint32_t wanted[2] = {(uint32_t)(j->split.train * t->count), (uint32_t)((j->split.train + j->split.validation) * t->count)};
    uint32_t last = 0;
    for (uint32_t k = 1; k < t->count; k++)
        if (is_cut(t, k, whole_groups))
            last = k;
    cuts[0] = last ? nearest_cut(t, 1, last - 1, wanted[0], whole_groups) : 0;
    cuts[1] = cuts[0] ? nearest_cut(t, cuts[0] + 1, last, wanted[1], whole_groups) : 0;
    return cuts[1] > 0;
}

static void time_text(char text[DATE_TEXT], const struct row_facts *f, double time)
{
    if (f->time_form == TIME_DATES)
        date_text(text, time);
    else
        snprintf(text, DATE_TEXT, "%.17g", time);
}

struct json *split_time_value(const struct row_facts *f, double time)
{
    char text[DATE_TEXT];
    if (f->time_form == TIME_NUMBERS)
        return json_of_number(time);
    date_text(text, time);
    return json_of_string(text);
}

/* How many groups have rows on both sides of the cut; the first and last row of the first of them. */
static uint32_t divided_groups(uint32_t *first, uint32_t *last, const struct timeline *t, uint32_t cut)
{
    struct table *before, *divided;
    table_create(&before);
    table_create(&divided);
    *last = cut;
    for (uint32_t k = 0; k < cut; k++)
        table_add(before, group_at(t, k));
    for (uint32_t k = cut; k < t->count; k++)
        if (table_find(before, group_at(t, k)) != TABLE_ABSENT && table_add(divided, group_at(t, k)) == 0)
            *last = k;
    for (*first = 0; *first < cut && table_find(divided, group_at(t, *first)) != 0;)
        ++*first;
    uint32_t count = (uint32_t)table_count(divided);
    table_destroy(&divided);
    table_destroy(&before);
    return count;
}

static int refuse(const struct timeline *t, const struct job *j, struct error *e)
{
    char from[DATE_TEXT], to[DATE_TEXT], at[DATE_TEXT];
    uint32_t cuts[2], first, last;
    if (!find_both(cuts, t, j, false)) {
        time_text(from, t->facts, t->rows[0].time);
        time_text(to, t->facts, t->rows[t->count - 1].time);
        return error_set(
            e, ERROR_DATA,
            "field '%s' (data.time): %u rows have fewer than 3 different times (%s to %s), and rows of one time stay in "
            "one part; use another split.method",
            j->data.time, t->count, from, to);
    }
    uint32_t cut = t->groups_allow[cuts[0]] ? cuts[1] : cuts[0], divided = divided_groups(&first, &last, t, cut);
    time_text(from, t->facts, t->rows[first].time);
    time_text(to, t->facts, t->rows[last].time);
    time_text(at, t->facts, t->rows[cut].time);
    return error_set(
        e, ERROR_DATA,
        "group '%.100s' (data.group: %s) has rows from %s to %s, on both sides of the boundary at %s, and so have %u "
        "groups in all; nowhere can the rows be cut twice without dividing a group: leave data.group out, or use "
        "another split.method",
        group_at(t, first), j->data.group ? j->data.group : "rows that repeat each other", from, to, at, divided);
}

static void tell_moved(const char *part, double share, double wanted)
{
    if (fabs(share - wanted) > 0.01)
        printf("  note: the %s part has %.1f %% of the rows, not %.1f %%: equal times and groups stay together\n", part,
               100 * share, 100 * wanted);
}

int split_by_time(enum part *part_of, const struct job *j, const struct dataset *d, const struct row_facts *f, struct error *e)
{
    uint32_t rows = dataset_rows(d), cuts[2];
    struct timeline t = {.d = d, .facts = f, .rows = allocate(rows, sizeof *t.rows), .count = rows};
    t.ties_allow = allocate(rows, sizeof *t.ties_allow);
    t.groups_allow = allocate(rows, sizeof *t.groups_allow);
    for (uint32_t i = 0; i < rows; i++)
        t.rows[i] = (struct timed_row){f->times[i], i};
    qsort(t.rows, rows, sizeof *t.rows, by_time);
    find_cuts(&t);
    int result = find_both(cuts, &t, j, true) ? 0 : refuse(&t, j, e);
    for (uint32_t k = 0; k < rows && !result; k++)
        part_of[t.rows[k].row] = k < cuts[0] ? PART_TRAIN : k < cuts[1] ? PART_VALIDATION : PART_TEST;
    if (!result) {
        tell_moved("train", (double)cuts[0] / rows, j->split.train);
        tell_moved("validation", (double)(cuts[1] - cuts[0]) / rows, j->split.validation);
    }
    free(t.groups_allow);
    free(t.ties_allow);
    free(t.rows);
    return result;
}
