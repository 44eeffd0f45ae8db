/* SPDX-License-Identifier: Apache-2.0 */
/* How far a metric may be off by the choice of rows: the percentile bootstrap (Efron, 1979). Rows are drawn with replacement; row
 * i of draw d is word i % 4 of philox(seed, RANDOM_BOOTSTRAP, i / 4, 0, 0, d), times the rows, over 2^32. Equal seeds draw equal
 * rows, so two rules are compared draw by draw. R rows, L labels. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum bootstrap_metric {
    BOOTSTRAP_ACCURACY, /* share of rows whose labels are all right */
    BOOTSTRAP_MICRO_PRECISION,
    BOOTSTRAP_MICRO_RECALL,
    BOOTSTRAP_MICRO_F1,
    BOOTSTRAP_MACRO_F1,
    BOOTSTRAP_WEIGHTED_F1,
    BOOTSTRAP_METRICS
};
extern const char *const bootstrap_metric_names[BOOTSTRAP_METRICS];

struct interval {
    double low, high;
};

/* Of each rule values[rule][d * BOOTSTRAP_FIGURES + metric]; all rules on the same draws. present_only: a label that a draw
 * neither has nor predicts is left out of the macro average. */
void bootstrap_draw(double *const *values, const uint8_t *const *decided /* [rules] (R,L) 0 or 1 */, size_t rules, uint32_t draws,
                    const uint8_t *truth /* (R,L) */, size_t rows, size_t labels, bool present_only, uint64_t seed);
/* The middle 95 % of a metric, between values as numpy.percentile; of values - minus where minus is not NULL. */
struct interval bootstrap_interval(const double *values, const double *minus, uint32_t draws, enum bootstrap_metric metric);
