/* SPDX-License-Identifier: Apache-2.0 */
/* Metrics of a report that are computed from logits. */
#include "coordinator/report/report_scores.h"

#include "common/base/memory.h"
#include "common/score/labels.h"
#include "coordinator/decision/metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bool report_scores_of(struct report_scores *ret, const struct report_run *r, enum part part)
{
    const struct logits *l = part == PART_TEST ? &r->test : &r->validation;
    if (!l->values || l->rows == 0 || l->labels == 0)
        return false;
    *ret = (struct report_scores){.run = r,
                                  .logits = l,
                                  .kind = r->multi         ? KIND_MANY_LABELS
                                          : l->labels == 2 ? KIND_BINARY
                                                           : KIND_MANY_CLASSES,
                                  .part = part,
                                  .rows = r->split.part[part].rows};
    return true;
}

static bool is_true(const struct report_scores *s, uint32_t i, uint32_t label)
{
    const struct dataset *d = s->run->data;
    return s->run->multi ? dataset_targets(d, s->rows[i])[label] >= 0.5f : dataset_class(d, s->rows[i]) == (int32_t)label;
}

void scores_column(double **probability, int32_t **truth, const struct report_scores *s, uint32_t label, bool calibrated)
{
    const struct logits *l = s->logits;
    const double *temperatures = calibrated ? s->run->temperatures : NULL;
    double *p = allocate(l->rows, sizeof *p);
    int32_t *t = allocate(l->rows, sizeof *t);
    if (!s->run->multi)
        probabilities_of_class(p, l->values, l->rows, l->labels, label, temperatures);
    for (uint32_t i = 0; i < l->rows; i++) {
        if (s->run->multi)
            p[i] = sigmoid(l->values[(size_t)i * l->labels + label] / (temperatures ? temperatures[label] : 1));
        t[i] = is_true(s, i, label);
    }
    *probability = p;
    *truth = t;
}

/* ---- by threshold ---- */

struct scored {
    double p;
    int32_t truth;
};

static int by_falling_p(const void *a, const void *b)
{
    double x = ((const struct scored *)a)->p, y = ((const struct scored *)b)->p;
    return (x < y) - (x > y);
}

/* Highest probability first; *positives: how many are true. Caller frees. */
static struct scored *sort_column(uint32_t *positives, const double *p, const int32_t *truth, uint32_t rows)
{
    struct scored *sorted = allocate(rows, sizeof *sorted);
    *positives = 0;
    for (uint32_t i = 0; i < rows; i++) {
        sorted[i] = (struct scored){p[i], truth[i]};
        *positives += (uint32_t)truth[i];
    }
    qsort(sorted, rows, sizeof *sorted, by_falling_p);
    return sorted;
}

static double average_precision(const double *p, const int32_t *truth, uint32_t rows)
{
    uint32_t positives, found = 0, before = 0;
    struct scored *sorted = sort_column(&positives, p, truth, rows);
    double sum = 0;
    for (uint32_t i = 0; i < rows; i++) {
        found += (uint32_t)sorted[i].truth;
        if (i + 1 == rows || sorted[i + 1].p < sorted[i].p) { /* equal probabilities stand or fall together */
            sum += (double)(found - before) * found / (i + 1);
            before = found;
        }
    }
    free(sorted);
    return positives ? sum / positives : 0;
}

size_t scores_precision_recall(double **precision, double **recall, const struct report_scores *s, uint32_t label, size_t most)
{
    uint32_t positives, found = 0, rows = s->logits->rows, last = 0;
    double *p;
    int32_t *truth;
    size_t count = 0;
    scores_column(&p, &truth, s, label, true);
    struct scored *sorted = sort_column(&positives, p, truth, rows);
    double *x = allocate(most + 2, sizeof *x), *y = allocate(most + 2, sizeof *y);
    for (uint32_t i = 0; i < rows && positives; i++) {
        found += (uint32_t)sorted[i].truth;
        bool edge = i + 1 == rows || sorted[i + 1].p < sorted[i].p;
        if (edge && (i + 1 == rows || count == 0 || (uint64_t)(i - last) * most >= rows)) {
            x[count] = (double)found / positives;
            y[count++] = (double)found / (i + 1);
            last = i;
        }
    }
    free(sorted);
    free(p);
    free(truth);
    *recall = x;
    *precision = y;
    return count;
}

void scores_curve(struct score_curve *ret, const struct report_scores *s, uint32_t label)
{
    double *p;
    int32_t *truth;
    uint32_t positives, rows = s->logits->rows, i = 0, found = 0;
    scores_column(&p, &truth, s, label, true);
    struct scored *sorted = sort_column(&positives, p, truth, rows);
    for (int k = CURVE_POINTS - 1; k >= 0; k--) {
        double threshold = (double)k / (CURVE_POINTS - 1);
        for (; i < rows && sorted[i].p >= threshold; i++)
            found += (uint32_t)sorted[i].truth;
        struct binary_metrics m = {.true_positive = found,
                                   .false_positive = i - found,
                                   .false_negative = positives - found,
                                   .true_negative = rows - i - (positives - found)};
        binary_metrics_of_counts(&m);
        ret->threshold[k] = threshold;
        ret->precision[k] = i ? m.precision : NAN;
        ret->recall[k] = m.recall;
        ret->f1[k] = m.f1;
    }
    free(sorted);
    free(p);
    free(truth);
}

/* ---- labels ---- */

static double probability_of(const struct report_scores *s, uint32_t i, uint32_t label)
{
    double p;
    probabilities_of_class(&p, s->logits->values + (size_t)i * s->logits->labels, 1, s->logits->labels, label,
                           s->run->temperatures);
    return p;
}

static uint32_t predicted_class(const struct report_scores *s, uint32_t i)
{
    uint32_t positive = s->run->positive;
    if (s->kind == KIND_MANY_CLASSES)
        return (uint32_t)highest_scaled(s->logits->values + (size_t)i * s->logits->labels, s->logits->labels,
                                        s->run->temperatures);
    return probability_of(s, i, positive) >= s->run->thresholds[positive] ? positive : 1 - positive;
}

/* The most probable class, each against the rest. */
static void metrics_of_classes(struct label_metrics *metrics, const struct report_scores *s)
{
    uint32_t labels = s->logits->labels, rows = s->logits->rows;
    int32_t *predicted = allocate(rows, sizeof *predicted), *truth = allocate(rows, sizeof *truth);
    struct class_metrics *classes = allocate(labels, sizeof *classes);
    struct averaged_metrics ignored;
    for (uint32_t i = 0; i < rows; i++) {
        predicted[i] = (int32_t)predicted_class(s, i);
        truth[i] = dataset_class(s->run->data, s->rows[i]);
    }
    class_metrics(&ignored, classes, predicted, truth, rows, labels);
    for (uint32_t c = 0; c < labels; c++) {
        struct binary_metrics *m = &metrics[c].at_rule;
        *m = (struct binary_metrics){.true_positive = classes[c].correct,
                                     .false_positive = classes[c].predicted - classes[c].correct,
                                     .false_negative = classes[c].support - classes[c].correct};
        m->true_negative = rows - m->true_positive - m->false_positive - m->false_negative;
        binary_metrics_of_counts(m);
    }
    free(classes);
    free(truth);
    free(predicted);
}

struct label_metrics *scores_labels(const struct report_scores *s)
{
    uint32_t labels = s->logits->labels, rows = s->logits->rows;
    struct label_metrics *metrics = allocate(labels, sizeof *metrics);
    for (uint32_t c = 0; c < labels; c++) {
        double *p, threshold = s->run->thresholds[s->kind == KIND_BINARY ? s->run->positive : c];
        int32_t *truth;
        scores_column(&p, &truth, s, c, true);
        metrics[c] =
            (struct label_metrics){.label = c, .threshold = threshold, .average_precision = average_precision(p, truth, rows)};
        binary_metrics(&metrics[c].at_0_5, p, truth, rows, 0.5);
        binary_metrics(&metrics[c].at_rule, p, truth, rows, threshold);
        free(p);
        free(truth);
    }
    if (s->kind == KIND_MANY_CLASSES)
        metrics_of_classes(metrics, s);
    return metrics;
}

void scores_micro(struct binary_metrics *ret, double *macro_f1, const struct report_scores *s,
                  const struct label_metrics *metrics, bool at_0_5)
{
    struct binary_metrics sum = {0};
    double f1 = 0;
    for (uint32_t c = 0; c < s->logits->labels; c++) {
        const struct binary_metrics *m = at_0_5 ? &metrics[c].at_0_5 : &metrics[c].at_rule;
        binary_metrics_add_counts(&sum, m);
        f1 += m->f1;
    }
    binary_metrics_of_counts(&sum);
    *ret = sum;
    *macro_f1 = f1 / s->logits->labels;
}

/* ---- reliability ---- */

void scores_reliability(struct reliability *ret, const struct report_scores *s, bool calibrated)
{
    struct truth t;
    struct error ignored; /* logits are finite and temperatures above 0 where they were read */
    truth_read(&t, s->run->data, s->rows, s->logits->rows, s->run->positive);
    struct validation_outputs v = {s->logits->values, t.class, t.targets, s->logits->rows, s->logits->labels};
    if (calibration_measure(ret, v, s->run->positive, calibrated ? s->run->temperatures : NULL, &ignored) != 0)
        *ret = (struct reliability){0};
    truth_free(&t);
}

/* ---- errors ---- */

uint64_t *scores_confusion(const struct report_scores *s)
{
    uint32_t labels = s->logits->labels;
    uint64_t *counts = allocate((size_t)labels * labels, sizeof *counts);
    for (uint32_t i = 0; i < s->logits->rows; i++)
        counts[(size_t)dataset_class(s->run->data, s->rows[i]) * labels + predicted_class(s, i)]++;
    return counts;
}

struct worst {
    struct wrong *items; /* (count) most confident first */
    size_t count, most;
};

/* Insertion into a short list; of equals the earlier row stays in front. */
static void add_wrong(struct worst *w, struct wrong item)
{
    size_t at = w->count;
    if (w->most == 0 || (w->count == w->most && item.probability <= w->items[w->count - 1].probability))
        return;
    if (w->count < w->most)
        w->count++;
    else
        at--;
    for (; at > 0 && item.probability > w->items[at - 1].probability; at--)
        w->items[at] = w->items[at - 1];
    w->items[at] = item;
}

static void collect_class_errors(struct worst *w, const struct report_scores *s)
{
    for (uint32_t i = 0; i < s->logits->rows; i++) {
        uint32_t predicted = predicted_class(s, i), truth = (uint32_t)dataset_class(s->run->data, s->rows[i]);
        if (predicted != truth)
            add_wrong(w, (struct wrong){.row = s->rows[i],
                                        .predicted = predicted,
                                        .truth = truth,
                                        .label = predicted,
                                        .probability = probability_of(s, i, predicted)});
    }
}

static void collect_label_errors(struct worst *w, const struct report_scores *s, uint32_t label)
{
    double *p;
    int32_t *truth;
    scores_column(&p, &truth, s, label, true);
    for (uint32_t i = 0; i < s->logits->rows; i++) {
        bool predicted = p[i] >= s->run->thresholds[label];
        if (predicted != (truth[i] != 0))
            add_wrong(w, (struct wrong){.row = s->rows[i],
                                        .predicted = predicted,
                                        .truth = (uint32_t)truth[i],
                                        .label = label,
                                        .probability = predicted ? p[i] : 1 - p[i]});
    }
    free(p);
    free(truth);
}

size_t scores_worst(struct wrong **ret, const struct report_scores *s, size_t most)
{
    struct worst w = {.items = allocate(most, sizeof *w.items), .most = most};
    if (s->kind != KIND_MANY_LABELS)
        collect_class_errors(&w, s);
    for (uint32_t c = 0; s->kind == KIND_MANY_LABELS && c < s->logits->labels; c++)
        collect_label_errors(&w, s, c);
    *ret = w.items;
    return w.count;
}
