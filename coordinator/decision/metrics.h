/* SPDX-License-Identifier: Apache-2.0 */
/* What decisions are worth on rows whose labels are known, for all kinds of decision. Chooses nothing. */
#pragma once

#include "common/format/dataset.h"
#include "common/score/metrics.h"

enum decision_kind decision_kind_of(bool multi, uint32_t labels);

/* The labels of some rows. */
struct truth {
    enum decision_kind kind;
    uint32_t rows, labels, positive;
    int32_t *class;   /* (rows); one label a row */
    uint8_t *targets; /* (rows, labels); many labels a row */
};

/* rows (count) of d; NULL: all of them. */
void truth_read(struct truth *ret, const struct dataset *d, const uint32_t *rows, uint32_t count, uint32_t positive);
void truth_free(struct truth *t);
/* The labels of the rows, or `decided` (rows, labels), as columns of 0 and 1 (rows, *columns); of two labels the positive one's
 * alone. Caller frees. */
uint8_t *truth_columns(uint32_t *columns, const struct truth *t, const uint8_t *decided);

struct metrics {
    uint32_t labels;
    struct binary_metrics pooled; /* of the positive label of two; else of all labels together: micro */
    struct averaged_metrics all;
    struct binary_metrics *each; /* (labels); owned */
    double loss;                 /* unweighted, at the temperatures */
};

/* Decisions (rows, labels) 0 or 1 by the rule: thresholds (labels; of two labels the positive one's counts; of one of many none),
 * temperatures (labels). Caller frees. */
uint8_t *decisions_make(const struct truth *t, const float *logits /* (rows, labels) */, const double *temperatures,
                        const double *thresholds);
void metrics_make(struct metrics *ret, const struct truth *t, const float *logits, const double *temperatures,
                  const double *thresholds);
void metrics_free(struct metrics *f);
