/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the metrics that models are compared by. Ratios are made from whole counts and divided once, so that equal results are
 * equal numbers and ties are ties. */
#include "common/score/metrics.h"

#include "common/base/memory.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

static double ratio(double part, double whole)
{
    return whole > 0 ? part / whole : 0;
}

void binary_metrics_add_counts(struct binary_metrics *to, const struct binary_metrics *m)
{
    to->true_positive += m->true_positive;
    to->false_positive += m->false_positive;
    to->true_negative += m->true_negative;
    to->false_negative += m->false_negative;
}

void binary_metrics_of_counts(struct binary_metrics *m)
{
    double tp = (double)m->true_positive, fp = (double)m->false_positive, tn = (double)m->true_negative,
           fn = (double)m->false_negative;
    m->accuracy = ratio(tp + tn, tp + fp + tn + fn);
    m->precision = ratio(tp, tp + fp);
    m->recall = ratio(tp, tp + fn);
    m->f1 = ratio(2 * tp, 2 * tp + fp + fn);
}

void binary_metrics(struct binary_metrics *ret, const double *probability, const int32_t *truth, size_t count, double threshold)
{
    struct binary_metrics m = {0};
    for (size_t i = 0; i < count; i++) {
        bool positive = probability[i] >= threshold;
        m.true_positive += positive && truth[i];
        m.false_positive += positive && !truth[i];
        m.true_negative += !positive && !truth[i];
        m.false_negative += !positive && truth[i];
    }
    binary_metrics_of_counts(&m);
    *ret = m;
}

double f_beta(double precision, double recall, double beta)
{
    double b2 = beta * beta;
    return ratio((1 + b2) * precision * recall, b2 * precision + recall);
}

static double scaled(const float *logits, size_t k, const double *temperatures)
{
    return temperatures ? logits[k] / temperatures[k] : logits[k];
}

/* Highest logit / temperature, and the sum of exp of the distances to it: what softmax and its logarithm need. */
static double exponential_sum(double *highest, const float *logits, size_t labels, const double *temperatures)
{
    double top = scaled(logits, 0, temperatures), sum = 0;
    for (size_t k = 1; k < labels; k++) {
        double x = scaled(logits, k, temperatures);
        top = x > top ? x : top;
    }
    for (size_t k = 0; k < labels; k++)
        sum += exp(scaled(logits, k, temperatures) - top);
    *highest = top;
    return sum;
}

void softmax(double *p, const float *logits, size_t labels, const double *temperatures)
{
    double highest, sum = exponential_sum(&highest, logits, labels, temperatures);
    for (size_t k = 0; k < labels; k++)
        p[k] = exp(scaled(logits, k, temperatures) - highest) / sum;
}

void probabilities_of_class(double *p, const float *logits, size_t rows, size_t labels, size_t class_index,
                            const double *temperatures)
{
    for (size_t i = 0; i < rows; i++, logits += labels) {
        double highest, sum = exponential_sum(&highest, logits, labels, temperatures);
        p[i] = exp(scaled(logits, class_index, temperatures) - highest) / sum;
    }
}

static void finish_class(struct class_metrics *c)
{
    c->precision = ratio((double)c->correct, (double)c->predicted);
    c->recall = ratio((double)c->correct, (double)c->support);
    c->f1 = ratio(2 * (double)c->correct, (double)(c->predicted + c->support));
}

void class_metrics(struct averaged_metrics *ret, struct class_metrics *per_class, const int32_t *predicted, const int32_t *truth,
                   size_t rows, size_t labels)
{
    struct class_metrics *classes = allocate(labels, sizeof *classes);
    struct averaged_metrics m = {0};
    uint64_t correct = 0;
    for (size_t i = 0; i < rows; i++) {
        classes[predicted[i]].predicted++;
        classes[truth[i]].support++;
        classes[truth[i]].correct += predicted[i] == truth[i];
        correct += predicted[i] == truth[i];
    }
    size_t present = 0;
    for (size_t k = 0; k < labels; k++) {
        struct class_metrics *c = &classes[k];
        finish_class(c);
        present += c->predicted || c->support;
        m.macro_precision += c->precision;
        m.macro_recall += c->recall;
        m.macro_f1 += c->f1;
        m.weighted_f1 += c->f1 * (double)c->support;
        if (per_class)
            per_class[k] = *c;
    }
    free(classes);
    m.macro_precision = ratio(m.macro_precision, (double)present);
    m.macro_recall = ratio(m.macro_recall, (double)present);
    m.macro_f1 = ratio(m.macro_f1, (double)present);
    m.weighted_f1 = ratio(m.weighted_f1, (double)rows);
    /* one label a row: what is wrongly predicted is wrongly missed, so all micro metrics are the accuracy */
    m.accuracy = m.micro_precision = m.micro_recall = m.micro_f1 = ratio((double)correct, (double)rows);
    *ret = m;
}

void class_counts(struct binary_metrics *ret, const int32_t *predicted, const int32_t *truth, size_t rows, size_t labels)
{
    struct binary_metrics m = {0};
    for (size_t i = 0; i < rows; i++)
        m.true_positive += predicted[i] == truth[i];
    m.false_positive = m.false_negative = rows - m.true_positive;
    m.true_negative = rows * (labels - 1) - m.false_positive;
    binary_metrics_of_counts(&m);
    m.accuracy = ratio((double)m.true_positive, (double)rows);
    *ret = m;
}

size_t highest_logit(const float *logits, size_t labels)
{
    size_t best = 0;
    for (size_t l = 1; l < labels; l++)
        if (logits[l] > logits[best])
            best = l;
    return best;
}

size_t highest_scaled(const float *logits, size_t labels, const double *temperatures)
{
    size_t best = 0;
    for (size_t l = 1; l < labels; l++)
        if (scaled(logits, l, temperatures) > scaled(logits, best, temperatures))
            best = l;
    return best;
}

double cross_entropy(const float *logits, const int32_t *truth, const double *weights, size_t rows, size_t labels)
{
    double loss = 0, total = 0;
    for (size_t i = 0; i < rows; i++, logits += labels) {
        double highest, sum = exponential_sum(&highest, logits, labels, NULL), weight = weights ? weights[truth[i]] : 1;
        loss += weight * (log(sum) + highest - logits[truth[i]]);
        total += weight;
    }
    return ratio(loss, total);
}
