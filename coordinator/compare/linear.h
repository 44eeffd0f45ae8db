/* SPDX-License-Identifier: Apache-2.0 */
/* Logistic regression of sparse rows, as scikit-learn's LogisticRegression(C=1, solver="liblinear") fits it; the sole owner of
 * liblinear. Weights: (columns + 1), the last one is the intercept, which is regularised like the others. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct linear_rows;

void linear_rows_create(struct linear_rows **ret, uint32_t columns);
void linear_rows_destroy(struct linear_rows **r);
/* columns (count) ascending. Memory: 16 bytes a value. */
void linear_rows_append(struct linear_rows *r, const uint32_t *columns, const double *values, size_t count);
size_t linear_rows_count(const struct linear_rows *r);

/* Minimises |w|^2 / 2 + sum of weight(truth) * log loss. truth (rows) 0 or 1; where all are alike, every weight is 0 and the
 * intercept is the log odds ln((ones + 0.5) / (zeros + 0.5)). Deterministic; may run in many threads at once. */
void linear_fit(double *weights, const struct linear_rows *r, const unsigned char *truth, double positive, double negative);
double linear_decide(const struct linear_rows *r, size_t row, const double *weights); /* log odds */
