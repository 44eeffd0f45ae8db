/* SPDX-License-Identifier: Apache-2.0 */
/* The plots of a report. */
#pragma once

#include "coordinator/report/plot.h"
#include "coordinator/report/report_scores.h"

#define PLOTS_MOST 40
#define WORST_LABELS 3 /* together in one plot */
#define MORE_LABELS 24 /* with a plot each */

struct report_plots {
    struct plot *items[PLOTS_MOST];
    size_t count;
};

/* validation, test: NULL where there are no logits; metrics: of validation. */
void report_plots_make(struct report_plots *ret, const struct report_run *r, const struct report_scores *validation,
                       const struct report_scores *test, const struct label_metrics *metrics);
void report_plots_free(struct report_plots *p);

/* A trial's score by the job's rule, on validation; NaN if it has none. row: of table.json's trials. */
double report_trial_score(const struct report_run *r, const struct json *row);
/* Labels that occur in the part, worst F1 at 0.5 first. order (label_count); returns how many. */
uint32_t report_worst_labels(uint32_t *order, const struct label_metrics *metrics, uint32_t labels);
