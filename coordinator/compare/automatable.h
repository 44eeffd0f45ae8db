/* SPDX-License-Identifier: Apache-2.0 */
/* W5: which labels a model finds as well as people agree on them, and how many documents need no person for it. Many labels a
 * row; a report on test, which chooses nothing. */
#pragma once

#include "coordinator/compare/scored_model.h"

struct automatable {
    double agreement;
    bool *label;                          /* (labels) F1 reaches agreement; owned */
    uint32_t labels, count;               /* all; automatable ones */
    uint32_t without_example;             /* labels that no row of the part has: their F1 says nothing, so they do not count */
    uint32_t rows, with_label, all, some; /* rows; those with a label; of these: all labels, at least one is automatable */
};

/* each (labels): metrics on the rows of t at the frozen thresholds. */
void automatable_find(struct automatable *ret, const struct truth *t, const struct binary_metrics *each, double agreement);
void automatable_free(struct automatable *a);
struct json *automatable_to_json(const struct automatable *a, const struct binary_metrics *each, const char *const *label_names);
void automatable_print(const struct automatable *a, const char *name, const char *const *label_names);
