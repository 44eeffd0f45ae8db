/* The pictures of a report. */
#pragma once

#include "coordinator/report/plot.h"
#include "coordinator/report/report_scores.h"

#define PICTURES_MOST 40
#define WORST_LABELS 3 /* together in one picture */
#define MORE_LABELS 24 /* with a picture each */

struct report_pictures {
    struct picture *items[PICTURES_MOST];
    size_t count;
};

/* validation, test: NULL where there are no logits; figures: of validation. */
void report_pictures_make(struct report_pictures *ret, const struct report_run *r, const struct report_scores *validation,
                          const struct report_scores *test, const struct label_figures *figures);
void report_pictures_free(struct report_pictures *p);

/* A trial's score by the job's rule, on validation; NaN if it has none. row: of table.json's trials. */
double report_trial_score(const struct report_run *r, const struct json *row);
/* Labels that occur in the part, worst F1 at 0.5 first. order (label_count); returns how many. */
uint32_t report_worst_labels(uint32_t *order, const struct label_figures *figures, uint32_t labels);
