/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/data/split_check.h"

#include "common/base/file.h"
#include "common/base/memory.h"
#include "coordinator/data/data_problems.h"
#include "coordinator/data/split.h"
#include "coordinator/data/split_time.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LISTED 100
#define LABELS_SHOWN 12
#define ABSENT UINT32_MAX

struct examination {
    const struct split *split;
    const struct dataset *d;
    const struct row_facts *facts;
    const struct json *labels;    /* of check.json */
    uint32_t *exact_in, *near_in; /* (rows) by root: the first row of train with it, or ABSENT */
    struct json *leaks;
    double exact[PART_COUNT], near[PART_COUNT], groups[PART_COUNT];
};

static const char *label_name(const struct examination *x, size_t c)
{
    return json_string(json_get(json_at(x->labels, c), "name"));
}

static void mark_train(struct examination *x)
{
    uint32_t rows = dataset_rows(x->d);
    x->exact_in = allocate(rows, sizeof *x->exact_in);
    x->near_in = allocate(rows, sizeof *x->near_in);
    memset(x->exact_in, 0xff, rows * sizeof *x->exact_in);
    memset(x->near_in, 0xff, rows * sizeof *x->near_in);
    for (uint32_t i = 0; i < x->split->part[PART_TRAIN].count; i++) {
        uint32_t row = x->split->part[PART_TRAIN].rows[i];
        const struct row_fact *f = &x->facts->rows[row];
        if (x->exact_in[f->exact] == ABSENT)
            x->exact_in[f->exact] = row;
        if (x->near_in[f->near] == ABSENT)
            x->near_in[f->near] = row;
        row_facts_walked(x->facts, i + 1);
    }
}

static void list_leak(struct examination *x, enum part part, uint32_t row, uint32_t train, bool exact)
{
    if (json_size(x->leaks) == LISTED)
        return;
    struct json *leak = json_append(x->leaks, json_object());
    json_set_string(leak, "part", part_names[part]);
    json_set_string(leak, "row", dataset_id(x->d, row));
    json_set_string(leak, "train", dataset_id(x->d, train));
    json_set_boolean(leak, "exact", exact);
}

static void find_leaks(struct examination *x, enum part part)
{
    for (uint32_t i = 0; i < x->split->part[part].count && part != PART_TRAIN; i++) {
        uint32_t row = x->split->part[part].rows[i];
        const struct row_fact *f = &x->facts->rows[row];
        uint32_t exact = x->exact_in[f->exact], near = x->near_in[f->near];
        x->exact[part] += exact != ABSENT;
        x->near[part] += near != ABSENT;
        if (near != ABSENT)
            list_leak(x, part, row, exact != ABSENT ? exact : near, exact != ABSENT);
        row_facts_walked(x->facts, i + 1);
    }
}

static void count_labels(struct json *to, const struct examination *x, enum part part)
{
    uint32_t labels = dataset_labels(x->d), *counts = allocate(labels, sizeof *counts), zero = 0;
    for (uint32_t i = 0; i < x->split->part[part].count; i++) {
        uint32_t row = x->split->part[part].rows[i], any = 0;
        for (uint32_t c = 0; c < labels; c++) {
            bool has = dataset_is_multi(x->d) ? dataset_targets(x->d, row)[c] != 0 : dataset_class(x->d, row) == (int32_t)c;
            counts[c] += has;
            any += has;
        }
        zero += !any;
    }
    struct json *list = json_set(to, "labels", json_array()), *absent = json_set(to, "absent_labels", json_array());
    for (uint32_t c = 0; c < labels; c++) {
        json_append(list, json_of_number(counts[c]));
        if (!counts[c])
            json_append(absent, json_of_string(label_name(x, c)));
    }
    json_set_number(to, "rows_without_label", zero);
    free(counts);
}

/* [first, last] of the part's rows. */
static void describe_times(struct json *to, const struct examination *x, enum part part)
{
    const uint32_t *rows = x->split->part[part].rows;
    uint32_t count = x->split->part[part].count;
    if (!x->facts->times || !count)
        return;
    double first = x->facts->times[rows[0]], last = first;
    for (uint32_t i = 1; i < count; i++) {
        first = fmin(first, x->facts->times[rows[i]]);
        last = fmax(last, x->facts->times[rows[i]]);
    }
    struct json *times = json_set(to, "times", json_array());
    json_append(times, split_time_value(x->facts, first));
    json_append(times, split_time_value(x->facts, last));
}

static struct json *describe_part(struct examination *x, enum part part, const char *fingerprint)
{
    struct json *j = json_object();
    json_set_number(j, "rows", x->split->part[part].count);
    json_set_number(j, "groups", x->groups[part]);
    json_set_string(j, "fingerprint", fingerprint);
    describe_times(j, x, part);
    find_leaks(x, part);
    json_set_number(j, "exact_in_train", x->exact[part]);
    json_set_number(j, "near_in_train", x->near[part]);
    count_labels(j, x, part);
    return j;
}

/* Groups that have rows in more than one part; *groups: in any. */
static double shared_groups(struct examination *x, double *groups)
{
    uint8_t *parts = allocate(dataset_groups(x->d), sizeof *parts);
    double shared = 0;
    for (unsigned p = 0; p < PART_COUNT; p++)
        for (uint32_t i = 0; i < x->split->part[p].count; i++)
            parts[dataset_group_number(x->d, x->split->part[p].rows[i])] |= (uint8_t)(1u << p);
    *groups = 0;
    for (uint32_t g = 0; g < dataset_groups(x->d); g++) {
        *groups += parts[g] != 0;
        shared += (parts[g] & (parts[g] - 1)) != 0;
        for (unsigned p = 0; p < PART_COUNT; p++)
            x->groups[p] += parts[g] >> p & 1;
    }
    free(parts);
    return shared;
}

static int judge(const struct examination *x, const struct job *j, double shared, double groups, const char *where,
                 struct error *e)
{
    for (int p = PART_VALIDATION; p < PART_COUNT; p++) {
        char what[96];
        snprintf(what, sizeof what, "rows of the %s part have the same text as a training row", part_names[p]);
        if (data_problem_check(PROBLEM_LEAKS, j, x->exact[p], x->split->part[p].count, what, where, e))
            return -1;
    }
    return data_problem_check(PROBLEM_SHARED_GROUPS, j, shared, groups, "groups have rows in more than one part", where, e);
}

int split_check(struct split *s, const struct job *j, const struct dataset *d, const struct row_facts *f,
                const struct json *check, struct error *e)
{
    struct examination x = {.split = s, .d = d, .facts = f, .labels = json_get(check, "labels"), .leaks = json_array()};
    struct json *root = json_object(), *parts = json_set(root, "parts", json_object());
    char *path = path_join(j->out, "split_check.json");
    double groups, shared = shared_groups(&x, &groups);
    mark_train(&x);
    int result = 0;
    for (int p = 0; p < PART_COUNT && !result; p++) {
        result = row_facts_fingerprint(s->fingerprint[p], f, s->part[p].rows, s->part[p].count, e);
        json_set(parts, part_names[p], describe_part(&x, (enum part)p, s->fingerprint[p]));
    }
    json_set_number(root, "shared_groups", j->data.group ? shared : 0);
    json_set(root, "leaks", x.leaks);
    if (!result)
        result = json_write(path, root, e);
    if (!result)
        result = judge(&x, j, j->data.group ? shared : 0, groups, path, e);
    json_destroy(&root);
    free(x.exact_in);
    free(x.near_in);
    free(path);
    return result;
}

/* ---- for people ---- */

static double label_share(const struct json *part, size_t c)
{
    double rows = json_number(json_get(part, "rows"));
    return rows > 0 ? json_number(json_at(json_get(part, "labels"), c)) / rows : 0;
}

static void print_shares(const struct json *parts, const struct json *labels)
{
    double worst = 0;
    size_t count = json_size(labels), at = 0;
    for (size_t c = 0; c < count; c++) {
        double train = label_share(json_at(parts, 0), c);
        for (size_t p = 1; p < json_size(parts); p++)
            if (fabs(label_share(json_at(parts, p), c) - train) > worst) {
                worst = fabs(label_share(json_at(parts, p), c) - train);
                at = c;
            }
        if (count > 2 && count <= LABELS_SHOWN)
            printf("  label %-16s %6.2f %% of train  %6.2f %% of validation  %6.2f %% of test\n",
                   json_string(json_get(json_at(labels, c), "name")), 100 * train, 100 * label_share(json_at(parts, 1), c),
                   100 * label_share(json_at(parts, 2), c));
    }
    if (count > LABELS_SHOWN)
        printf("  label proportions differ between parts by at most %.2f percentage points (%s)\n", 100 * worst,
               json_string(json_get(json_at(labels, at), "name")));
}

static void print_times(const char *part, const struct json *times)
{
    if (!times)
        return;
    char *first = json_print(json_at(times, 0), false), *last = json_print(json_at(times, 1), false);
    printf("  %s: from %s to %s\n", part, first, last);
    free(last);
    free(first);
}

int data_print_split(const struct job *j, const struct json *check, struct error *e)
{
    char *path = path_join(j->out, "split_check.json");
    struct json *root;
    int result = json_read(&root, path, e);
    free(path);
    if (result)
        return -1;
    const struct json *parts = json_get(root, "parts");
    print_shares(parts, json_get(check, "labels"));
    for (size_t p = 0; p < json_size(parts); p++) {
        const struct json *part = json_at(parts, p), *absent = json_get(part, "absent_labels");
        print_times(json_key(parts, p), json_get(part, "times"));
        double near = json_number(json_get(part, "near_in_train")), rows = json_number(json_get(part, "rows"));
        if (json_size(absent) == 1 && json_size(json_get(check, "labels")) == 2) /* of more labels the part's own line tells */
            printf("  %s has no row of label \"%s\": its F1 is 0, and the macro F1 leaves it out unless it is predicted\n",
                   json_key(parts, p), json_string(json_at(absent, 0)));
        if (near > 0)
            printf("  %s: %.0f rows (%.1f %%) are near duplicates of training rows, %.0f of them exact\n", json_key(parts, p),
                   near, 100 * near / rows, json_number(json_get(part, "exact_in_train")));
    }
    json_destroy(&root);
    return 0;
}
