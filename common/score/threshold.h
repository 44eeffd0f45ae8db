/* SPDX-License-Identifier: Apache-2.0 */
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

/* The same of many labels: probabilities and truth (rows, labels), truth 0 or 1. */
struct validation_labels {
    const double *probability;
    const uint8_t *truth;
    size_t rows, labels;
};

enum threshold_rule { RULE_F1, RULE_F_BETA, RULE_RECALL_AT_PRECISION, RULE_PRECISION_AT_RECALL, RULE_COST };
extern const char *const threshold_rule_names[]; /* NULL-terminated, job file spelling */

struct threshold_grid {
    enum threshold_rule rule;
    double from, to;
    int points;                                      /* evenly spaced as numpy.linspace, ends included */
    double beta;                                     /* f_beta */
    double min_precision;                            /* recall_at_precision */
    double min_recall;                               /* precision_at_recall */
    double false_positive_cost, false_negative_cost; /* cost; not both 0 */
    int decimals;                                    /* that grid values are rounded to; 0: as linspace has them */
    bool exact;                                      /* all probabilities that occur are tried, not the grid's values */
    bool middle;                                     /* of neighbours with the same highest score the middle one, not the first */
};

struct threshold_point {
    double threshold;
    struct binary_metrics metrics;
    double score; /* what the rule maximises, as threshold_score says */
};

/* What the rule maximises: F; recall, or precision, -1 where the other is too low; cost: the share of the highest possible cost
 * that is saved. */
double threshold_score(const struct threshold_grid *grid, const struct binary_metrics *m);
double threshold_value(const struct threshold_grid *grid, int i); /* of the grid */

/* points[grid->points] filled; *best = index of the highest score, the first one wins ties, or with grid->middle the middle of
 * those that follow it. recall_at_precision with no point that reaches min_precision: ERROR_FAILED naming the highest precision
 * found. NaN probabilities: ERROR_DATA with the row. */
int threshold_sweep(struct threshold_point *points, int *best, const struct threshold_grid *grid, struct validation_scores scores,
                    struct error *e);
/* The best of all probabilities that occur, by sorting once: the lowest one wins ties; with grid->middle half-way
 * to the next lower probability. Errors as threshold_sweep. */
int threshold_exact(struct threshold_point *best, const struct threshold_grid *grid, struct validation_scores scores,
                    struct error *e);
/* The grid for every label and for all of them together, in one pass: points (labels + 1, grid->points), those of all labels
 * together last. ERROR_DATA names a row and label whose probability is NaN. */
int threshold_sweep_labels(struct threshold_point *points, const struct threshold_grid *grid, struct validation_labels labels,
                           struct error *e);
/* Index of the point with the highest score, ties as threshold_sweep; -1 if none has one above 0. points (grid->points). */
int threshold_best(const struct threshold_point *points, const struct threshold_grid *grid);
