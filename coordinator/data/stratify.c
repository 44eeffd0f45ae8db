/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/data/stratify.h"

#include "common/base/memory.h"

#include <math.h>
#include <stdlib.h>

#define UNDEALT UINT32_MAX

/* Rows of a group that have a label. */
struct entry {
    uint32_t group, label, count;
};

struct strata {
    uint32_t labels, groups, parts;
    uint64_t rows;          /* that are not left out */
    struct entry *by_group; /* sorted by group, then label: entries of group g from start[g] to start[g + 1] */
    struct entry *by_label; /* sorted by label, then as groups are dealt out */
    size_t count, capacity;
    size_t *start, *label_start;
    uint32_t *size;       /* (groups) rows */
    uint64_t *left;       /* (labels) rows of groups without a part */
    double *lacks;        /* (parts, labels) rows of a label that a part still should get */
    double *rows_lacking; /* (parts) */
};

static int by_group(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->group != y->group)
        return x->group < y->group ? -1 : 1;
    return (x->label > y->label) - (x->label < y->label);
}

static void add(struct strata *s, uint32_t group, uint32_t label)
{
    s->by_group = grow(s->by_group, &s->capacity, s->count + 1, sizeof *s->by_group);
    s->by_group[s->count++] = (struct entry){group, label, 1};
}

static void collect(struct strata *s, const struct dataset *d, const uint32_t *group_of)
{
    for (uint32_t i = 0; i < dataset_rows(d); i++) {
        if (group_of[i] == UINT32_MAX)
            continue;
        s->rows++;
        s->size[group_of[i]]++;
        if (!dataset_is_multi(d)) {
            add(s, group_of[i], (uint32_t)dataset_class(d, i));
            continue;
        }
        const float *targets = dataset_targets(d, i);
        for (uint32_t c = 0; c < s->labels; c++)
            if (targets[c] != 0)
                add(s, group_of[i], c);
    }
    if (s->count)
        qsort(s->by_group, s->count, sizeof *s->by_group, by_group);
    size_t kept = 0;
    for (size_t i = 0; i < s->count; i++) {
        struct entry *last = kept ? &s->by_group[kept - 1] : NULL;
        if (last && last->group == s->by_group[i].group && last->label == s->by_group[i].label)
            last->count++;
        else
            s->by_group[kept++] = s->by_group[i];
    }
    s->count = kept;
}

/* Starts of the runs of equal keys in a sorted list. */
static void find_starts(size_t *start, uint32_t keys, const uint32_t *key, size_t stride, size_t count)
{
    size_t i = 0;
    for (uint32_t k = 0; k <= keys; k++) {
        while (i < count && *(const uint32_t *)((const char *)key + i * stride) < k)
            i++;
        start[k] = i;
    }
}

struct order {
    const struct strata *strata;
    const uint32_t *rank;
};

/* Groups with many rows first: what is small fills the gaps. */
static int by_label(const void *a, const void *b, void *context)
{
    const struct entry *x = a, *y = b;
    const struct order *o = context;
    uint32_t p = o->strata->size[x->group], q = o->strata->size[y->group];
    if (x->label != y->label)
        return x->label < y->label ? -1 : 1;
    if (p != q)
        return p > q ? -1 : 1;
    return (o->rank[x->group] > o->rank[y->group]) - (o->rank[x->group] < o->rank[y->group]);
}

static void index_entries(struct strata *s, const uint32_t *rank)
{
    s->by_label = allocate(s->count, sizeof *s->by_label);
    for (size_t i = 0; i < s->count; i++) {
        s->by_label[i] = s->by_group[i];
        s->left[s->by_group[i].label] += s->by_group[i].count;
    }
    struct order order = {s, rank};
    if (s->count)
        qsort_r(s->by_label, s->count, sizeof *s->by_label, by_label, &order);
    find_starts(s->start, s->groups, &s->by_group->group, sizeof *s->by_group, s->count);
    find_starts(s->label_start, s->labels, &s->by_label->label, sizeof *s->by_label, s->count);
}

static void give(struct strata *s, uint32_t *part_of, uint32_t group, uint32_t part)
{
    part_of[group] = part;
    s->rows_lacking[part] -= s->size[group];
    for (size_t i = s->start[group]; i < s->start[group + 1]; i++) {
        s->left[s->by_group[i].label] -= s->by_group[i].count;
        s->lacks[(size_t)part * s->labels + s->by_group[i].label] -= s->by_group[i].count;
    }
}

/* The part that lacks most of a label (of rows, if label is `labels`); among equals, most rows. */
static uint32_t neediest(const struct strata *s, uint32_t label)
{
    uint32_t best = 0;
    for (uint32_t p = 1; p < s->parts; p++) {
        double x = label < s->labels ? s->lacks[(size_t)p * s->labels + label] : 0,
               y = label < s->labels ? s->lacks[(size_t)best * s->labels + label] : 0;
        if (x > y || (x == y && s->rows_lacking[p] > s->rows_lacking[best]))
            best = p;
    }
    return best;
}

/* The label with the fewest rows left, or `labels`. */
static uint32_t rarest(const struct strata *s)
{
    uint32_t best = s->labels;
    for (uint32_t c = 0; c < s->labels; c++)
        if (s->left[c] && (best == s->labels || s->left[c] < s->left[best]))
            best = c;
    return best;
}

static void deal(struct strata *s, uint32_t *part_of, const uint32_t *rank)
{
    for (uint32_t c; (c = rarest(s)) < s->labels;)
        for (size_t i = s->label_start[c]; i < s->label_start[c + 1]; i++)
            if (part_of[s->by_label[i].group] == UNDEALT)
                give(s, part_of, s->by_label[i].group, neediest(s, c));
    uint32_t *order = allocate(s->groups, sizeof *order); /* groups without any label, by rank */
    for (uint32_t g = 0; g < s->groups; g++)
        order[rank[g]] = g;
    for (uint32_t i = 0; i < s->groups; i++)
        if (part_of[order[i]] == UNDEALT)
            give(s, part_of, order[i], neediest(s, s->labels));
    free(order);
}

static void strata_create(struct strata *s, const struct dataset *d, const uint32_t *group_of, uint32_t groups,
                          const uint32_t *rank, uint32_t parts)
{
    *s = (struct strata){.labels = dataset_labels(d), .groups = groups, .parts = parts};
    s->rows_lacking = allocate(parts, sizeof *s->rows_lacking);
    s->size = allocate(groups, sizeof *s->size);
    s->start = allocate(groups + 1u, sizeof *s->start);
    s->label_start = allocate(s->labels + 1u, sizeof *s->label_start);
    s->left = allocate(s->labels, sizeof *s->left);
    s->lacks = allocate((size_t)parts * s->labels, sizeof *s->lacks);
    s->by_group = allocate(1, sizeof *s->by_group);
    s->capacity = 1;
    collect(s, d, group_of);
    index_entries(s, rank);
}

static void strata_free(struct strata *s)
{
    free(s->rows_lacking);
    free(s->lacks);
    free(s->left);
    free(s->label_start);
    free(s->start);
    free(s->size);
    free(s->by_label);
    free(s->by_group);
}

void stratify(uint32_t *part_of, const struct dataset *d, const uint32_t *group_of, uint32_t groups, const uint32_t *rank,
              const double *share, uint32_t parts)
{
    struct strata s;
    strata_create(&s, d, group_of, groups, rank, parts);
    for (uint32_t p = 0; p < parts; p++) {
        s.rows_lacking[p] = share[p] * (double)s.rows;
        for (uint32_t c = 0; c < s.labels; c++)
            s.lacks[(size_t)p * s.labels + c] = share[p] * (double)s.left[c];
    }
    for (uint32_t g = 0; g < groups; g++)
        part_of[g] = UNDEALT;
    deal(&s, part_of, rank);
    strata_free(&s);
}

/* ---- whole groups into equal parts ---- */

struct place {
    uint32_t group, rank;
    double spread; /* of its labels' counts: the variance, times labels squared */
};

static int most_uneven(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    if (x->spread != y->spread)
        return x->spread > y->spread ? -1 : 1;
    return (x->rank > y->rank) - (x->rank < y->rank);
}

static struct place *order_groups(const struct strata *s, const uint32_t *rank)
{
    struct place *order = allocate(s->groups, sizeof *order);
    for (uint32_t g = 0; g < s->groups; g++) {
        double sum = 0, squares = 0;
        for (size_t i = s->start[g]; i < s->start[g + 1]; i++) {
            sum += s->by_group[i].count;
            squares += (double)s->by_group[i].count * s->by_group[i].count;
        }
        order[g] = (struct place){g, rank[g], s->labels * squares - sum * sum};
    }
    qsort(order, s->groups, sizeof *order, most_uneven);
    return order;
}

/* Summed over the group's labels, if it went to this part; those of others do not depend on where it goes. counts (parts, labels)
 */
static double unevenness(const struct strata *s, const uint32_t *counts, uint32_t group, uint32_t part)
{
    double all = 0;
    for (size_t i = s->start[group]; i < s->start[group + 1]; i++) {
        const struct entry *n = &s->by_group[i];
        double sum = 0, squares = 0;
        for (uint32_t p = 0; p < s->parts; p++) {
            double count = (double)counts[(size_t)p * s->labels + n->label] + (p == part ? n->count : 0);
            sum += count;
            squares += count * count;
        }
        all += sqrt(fmax(squares * s->parts - sum * sum, 0)) / (double)s->left[n->label];
    }
    return all;
}

static uint32_t evenest(const struct strata *s, const uint32_t *counts, const uint64_t *rows, uint32_t group)
{
    uint32_t best = 0;
    double least = unevenness(s, counts, group, 0);
    for (uint32_t p = 1; p < s->parts; p++) {
        double x = unevenness(s, counts, group, p), close = 1e-9 * (x + least);
        if (x < least - close || (x <= least + close && rows[p] < rows[best])) {
            best = p;
            least = x;
        }
    }
    return best;
}

void stratify_evenly(uint32_t *part_of, const struct dataset *d, const uint32_t *group_of, uint32_t groups, const uint32_t *rank,
                     uint32_t parts)
{
    struct strata s;
    strata_create(&s, d, group_of, groups, rank, parts);
    struct place *order = order_groups(&s, rank);
    uint32_t *counts = allocate((size_t)parts * s.labels, sizeof *counts);
    uint64_t *rows = allocate(parts, sizeof *rows);
    for (uint32_t i = 0; i < groups; i++) {
        uint32_t g = order[i].group, part = evenest(&s, counts, rows, g);
        part_of[g] = part;
        rows[part] += s.size[g];
        for (size_t k = s.start[g]; k < s.start[g + 1]; k++)
            counts[(size_t)part * s.labels + s.by_group[k].label] += s.by_group[k].count;
    }
    free(rows);
    free(counts);
    free(order);
    strata_free(&s);
}
