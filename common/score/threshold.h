/* Threshold selection on VALIDATION data: the argument type is how rule 6 ("test never tunes") is kept: only code that
 * holds a validation set can build one. prediction is p >= t. */
#pragma once

#include "common/base/error.h"
#include "common/score/metrics.h"

/* Probabilities of the positive class on the validation part, and nothing else. */
struct validation_scores {
    const double *probability;
    const int32_t *truth; /* 0 or 1 */
    size_t count;
};

enum threshold_rule { RULE_F1, RULE_F_BETA, RULE_RECALL_AT_PRECISION };
extern const char *const threshold_rule_names[]; /* NULL-terminated, job file spelling */

struct threshold_grid {
    enum threshold_rule rule;
    double from, to;
    int points;           /* evenly spaced as numpy.linspace, ends included */
    double beta;          /* f_beta */
    double min_precision; /* recall_at_precision */
};

struct threshold_point {
    double threshold;
    struct binary_metrics metrics;
    double score; /* what the rule maximises; recall_at_precision: recall, or -1 where precision is too low */
};

/* points[grid->points] filled; *best = index of the highest score, first one wins ties. recall_at_precision with no point that
 * reaches min_precision: ERROR_FAILED naming the highest precision found. NaN probabilities: ERROR_DATA with the row. */
int threshold_sweep(struct threshold_point *points, int *best, const struct threshold_grid *grid, struct validation_scores scores,
                    struct error *e);
