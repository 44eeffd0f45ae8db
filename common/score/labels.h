/* SPDX-License-Identifier: Apache-2.0 */
/* Multi-label: many labels a row, each with a probability and a threshold of its own. Figures as scikit-learn's on indicator
 * matrices, zero_division = 0: the macro average is over all labels, also those that no row has. R rows, L labels. */
#pragma once

#include "common/score/metrics.h"

double sigmoid(double x);
/* p = sigmoid(logit / temperature); temperatures (L), NULL: ones. */
void label_probabilities(double *p /* (R,L) */, const float *logits /* (R,L) */, size_t rows, size_t labels,
                         const double *temperatures);
/* A row has label l if probability >= thresholds[l]. each (L), may be NULL; pooled: the counts of all labels together, may be
 * NULL. accuracy of `ret` is the share of rows whose labels are all right. */
void label_metrics(struct averaged_metrics *ret, struct binary_metrics *each, struct binary_metrics *pooled,
                   const double *probability /* (R,L) */, const uint8_t *truth /* (R,L) 0 or 1 */, const double *thresholds,
                   size_t rows, size_t labels);
/* Averages from the counts of each label. accuracy, which these do not hold, is left 0. */
void label_averages(struct averaged_metrics *ret, struct binary_metrics *pooled, const struct binary_metrics *each,
                    size_t labels);
/* Binary cross entropy, mean over rows and labels; temperatures (L), NULL: ones. */
double label_cross_entropy(const float *logits /* (R,L) */, const uint8_t *truth, size_t rows, size_t labels,
                           const double *temperatures);
