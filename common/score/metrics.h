/* SPDX-License-Identifier: Apache-2.0 */
/* Metrics as scikit-learn computes them; pure functions on arrays. Undefined ratios are 0 (zero_division=0). */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* How probabilities become decisions. */
enum decision_kind {
    DECISION_BINARY, /* one of two labels: the positive one from a threshold on */
    DECISION_CLASS,  /* one of many: the most probable */
    DECISION_LABELS  /* many a row: each from its threshold on */
};

struct binary_metrics {
    uint64_t true_positive, false_positive, true_negative, false_negative;
    double accuracy, precision, recall, f1;
};

/* prediction[i] = probability[i] >= threshold; truth[i] 0 or 1. */
void binary_metrics(struct binary_metrics *ret, const double *probability, const int32_t *truth, size_t count, double threshold);
void binary_metrics_add_counts(struct binary_metrics *to, const struct binary_metrics *m); /* the four counts; no ratio */
void binary_metrics_of_counts(struct binary_metrics *m); /* the four ratios, from the four counts that are set */
double f_beta(double precision, double recall, double beta);

/* softmax over L logits, in double, each divided by its temperature (L; NULL: ones); p (L) may not alias logits. */
void softmax(double *p, const float *logits, size_t labels, const double *temperatures);
void probabilities_of_class(double *p /* (rows) */, const float *logits /* (rows, labels) */, size_t rows, size_t labels,
                            size_t class_index, const double *temperatures);

struct class_metrics {
    double precision, recall, f1;
    uint64_t support, predicted, correct;
};
struct averaged_metrics {
    double accuracy, micro_precision, micro_recall, micro_f1, macro_precision, macro_recall, macro_f1, weighted_f1;
};
/* Single label: predicted and truth are class indexes. per_class (L), may be NULL. A class that is neither predicted nor true
 * takes no part in the macro averages, as in scikit-learn without `labels`. */
void class_metrics(struct averaged_metrics *ret, struct class_metrics *per_class, const int32_t *predicted, const int32_t *truth,
                   size_t rows, size_t labels);

/* Decisions by class counted together, each class against the rest: precision, recall and F1 are the micro ones; accuracy is the
 * share of right rows. */
void class_counts(struct binary_metrics *ret, const int32_t *predicted, const int32_t *truth, size_t rows, size_t labels);
size_t highest_logit(const float *logits, size_t labels);                              /* index; the first wins ties */
size_t highest_scaled(const float *logits, size_t labels, const double *temperatures); /* of logits / temperature; likewise */

/* Weighted cross entropy as PyTorch's mean: sum(w[y] * nll) / sum(w[y]); weights NULL = ones. */
double cross_entropy(const float *logits, const int32_t *truth, const double *weights, size_t rows, size_t labels);
