/* SPDX-License-Identifier: Apache-2.0 */
#include "common/score/labels.h"

#include "common/base/memory.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

static double ratio(double part, double whole)
{
    return whole > 0 ? part / whole : 0;
}

double sigmoid(double x)
{
    if (x >= 0)
        return 1 / (1 + exp(-x));
    double y = exp(x);
    return y / (1 + y);
}

void label_probabilities(double *p, const float *logits, size_t rows, size_t labels, const double *temperatures)
{
    for (size_t i = 0; i < rows; i++)
        for (size_t l = 0; l < labels; l++)
            p[i * labels + l] = sigmoid(temperatures ? logits[i * labels + l] / temperatures[l] : logits[i * labels + l]);
}

void label_averages(struct averaged_metrics *ret, struct binary_metrics *pooled, const struct binary_metrics *each, size_t labels)
{
    struct averaged_metrics m = {0};
    struct binary_metrics all = {0};
    double support = 0;
    for (size_t l = 0; l < labels; l++) {
        double own = (double)(each[l].true_positive + each[l].false_negative);
        binary_metrics_add_counts(&all, &each[l]);
        m.macro_precision += each[l].precision;
        m.macro_recall += each[l].recall;
        m.macro_f1 += each[l].f1;
        m.weighted_f1 += each[l].f1 * own;
        support += own;
    }
    binary_metrics_of_counts(&all);
    m.micro_precision = all.precision;
    m.micro_recall = all.recall;
    m.micro_f1 = all.f1;
    m.macro_precision = ratio(m.macro_precision, (double)labels);
    m.macro_recall = ratio(m.macro_recall, (double)labels);
    m.macro_f1 = ratio(m.macro_f1, (double)labels);
    m.weighted_f1 = ratio(m.weighted_f1, support);
    *ret = m;
    if (pooled)
        *pooled = all;
}

void label_metrics(struct averaged_metrics *ret, struct binary_metrics *each, struct binary_metrics *pooled,
                   const double *probability, const uint8_t *truth, const double *thresholds, size_t rows, size_t labels)
{
    struct binary_metrics *counts = allocate(labels, sizeof *counts);
    uint64_t right = 0;
    for (size_t i = 0; i < rows; i++, probability += labels, truth += labels) {
        bool all_right = true;
        for (size_t l = 0; l < labels; l++) {
            bool there = probability[l] >= thresholds[l];
            counts[l].true_positive += there && truth[l];
            counts[l].false_positive += there && !truth[l];
            counts[l].true_negative += !there && !truth[l];
            counts[l].false_negative += !there && truth[l];
            all_right = all_right && there == (truth[l] != 0);
        }
        right += all_right;
    }
    for (size_t l = 0; l < labels; l++) {
        binary_metrics_of_counts(&counts[l]);
        if (each)
            each[l] = counts[l];
    }
    label_averages(ret, pooled, counts, labels);
    ret->accuracy = ratio((double)right, (double)rows);
    free(counts);
}

double label_cross_entropy(const float *logits, const uint8_t *truth, size_t rows, size_t labels, const double *temperatures)
{
    double loss = 0;
    for (size_t i = 0; i < rows; i++)
        for (size_t l = 0; l < labels; l++) {
            double x = temperatures ? logits[i * labels + l] / temperatures[l] : logits[i * labels + l];
            double against = truth[i * labels + l] ? -x : x; /* log(1 + exp(against)), without overflow */
            loss += log1p(exp(-fabs(x))) + (against > 0 ? against : 0);
        }
    return ratio(loss, (double)rows * (double)labels);
}
