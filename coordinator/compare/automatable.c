/* SPDX-License-Identifier: Apache-2.0 */
/* Which labels a model finds as well as people agree on them. */
#include "coordinator/compare/automatable.h"

#include "common/base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_SHOWN 8

static void find_labels(struct automatable *a, const struct binary_metrics *each)
{
    for (uint32_t l = 0; l < a->labels; l++) {
        bool example = each[l].true_positive + each[l].false_negative > 0;
        a->without_example += !example;
        a->label[l] = example && each[l].f1 >= a->agreement;
        a->count += a->label[l];
    }
}

static void count_rows(struct automatable *a, const struct truth *t)
{
    for (size_t i = 0; i < t->rows; i++) {
        uint32_t has = 0, covered = 0;
        for (uint32_t l = 0; l < t->labels; l++)
            if (t->targets[i * t->labels + l]) {
                has++;
                covered += a->label[l];
            }
        a->with_label += has > 0;
        a->all += has > 0 && covered == has;
        a->some += covered > 0;
    }
}

void automatable_find(struct automatable *ret, const struct truth *t, const struct binary_metrics *each, double agreement)
{
    struct automatable a = {.agreement = agreement, .labels = t->labels, .rows = t->rows};
    a.label = allocate(t->labels, sizeof *a.label);
    find_labels(&a, each);
    count_rows(&a, t);
    *ret = a;
}

void automatable_free(struct automatable *a)
{
    free(a->label);
    memset(a, 0, sizeof *a);
}

static double share(uint32_t part, uint32_t whole)
{
    return whole > 0 ? (double)part / whole : 0;
}

struct json *automatable_to_json(const struct automatable *a, const struct binary_metrics *each, const char *const *label_names)
{
    struct json *o = json_object(), *list;
    json_set_number(o, "agreement", a->agreement);
    json_set_number(o, "labels", a->labels);
    json_set_number(o, "automatable_labels", a->count);
    json_set_number(o, "labels_without_example", a->without_example);
    json_set_number(o, "rows", a->rows);
    json_set_number(o, "rows_with_label", a->with_label);
    json_set_number(o, "rows_all_labels", a->all);
    json_set_number(o, "rows_some_label", a->some);
    json_set_number(o, "share_all_labels", share(a->all, a->with_label));
    json_set_number(o, "share_some_label", share(a->some, a->with_label));
    list = json_set(o, "each", json_array());
    for (uint32_t l = 0; l < a->labels; l++) {
        struct json *one = json_append(list, json_object());
        json_set_string(one, "label", label_names[l]);
        json_set_number(one, "f1", each[l].f1);
        json_set_number(one, "positives", (double)(each[l].true_positive + each[l].false_negative));
        json_set_boolean(one, "automatable", a->label[l]);
    }
    return o;
}

void automatable_print(const struct automatable *a, const char *name, const char *const *label_names)
{
    uint32_t shown = 0;
    printf("  %-15s  %3u of %u labels reach F1 %.2f; all labels of %.1f %% of the rows, at least one of %.1f %%", name, a->count,
           a->labels, a->agreement, 100 * share(a->all, a->with_label), 100 * share(a->some, a->with_label));
    if (a->without_example > 0)
        printf("; no row has %u labels", a->without_example);
    printf("\n");
    for (uint32_t l = 0; l < a->labels && shown < NAMES_SHOWN; l++)
        if (a->label[l])
            printf("%s%s", shown++ ? ", " : "                   ", label_names[l]);
    if (shown > 0)
        printf(shown < a->count ? " and %u more\n" : "\n", a->count - shown);
}
