/* SPDX-License-Identifier: Apache-2.0 */
/* From logits and a rule to metrics. */
#include "coordinator/decision/metrics.h"

#include "common/base/memory.h"
#include "common/score/labels.h"

#include <stdlib.h>
#include <string.h>

enum decision_kind decision_kind_of(bool multi, uint32_t labels)
{
    return multi ? DECISION_LABELS : labels == 2 ? DECISION_BINARY : DECISION_CLASS;
}

void truth_read(struct truth *ret, const struct dataset *d, const uint32_t *rows, uint32_t count, uint32_t positive)
{
    struct truth t = {decision_kind_of(dataset_is_multi(d), dataset_labels(d)), count, dataset_labels(d), positive, NULL, NULL};
    if (t.kind == DECISION_LABELS)
        t.targets = allocate(count, t.labels);
    else
        t.class = allocate(count, sizeof *t.class);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t row = rows ? rows[i] : i;
        if (t.class)
            t.class[i] = dataset_class(d, row);
        for (uint32_t l = 0; t.targets && l < t.labels; l++)
            t.targets[(size_t)i * t.labels + l] = dataset_targets(d, row)[l] > 0;
    }
    *ret = t;
}

void truth_free(struct truth *t)
{
    free(t->class);
    free(t->targets);
    memset(t, 0, sizeof *t);
}

uint8_t *truth_columns(uint32_t *columns, const struct truth *t, const uint8_t *decided)
{
    uint32_t count = t->kind == DECISION_BINARY ? 1 : t->labels, first = t->kind == DECISION_BINARY ? t->positive : 0;
    uint8_t *to = allocate(t->rows, count);
    for (size_t i = 0; i < t->rows; i++)
        for (size_t l = 0; l < count; l++) {
            size_t at = i * t->labels + first + l;
            to[i * count + l] = decided ? decided[at] : t->targets ? t->targets[at] : t->class[i] == (int32_t)(first + l);
        }
    *columns = count;
    return to;
}

/* Of two, the positive one from its threshold on; of more, the most probable one. */
static uint32_t decide_class(const struct truth *t, const float *row, const double *temperatures, double threshold)
{
    double p;
    if (t->kind == DECISION_CLASS)
        return (uint32_t)highest_scaled(row, t->labels, temperatures);
    probabilities_of_class(&p, row, 1, t->labels, t->positive, temperatures);
    return p >= threshold ? t->positive : 1 - t->positive;
}

uint8_t *decisions_make(const struct truth *t, const float *logits, const double *temperatures, const double *thresholds)
{
    uint8_t *decided = allocate(t->rows, t->labels);
    for (size_t i = 0; i < t->rows; i++) {
        const float *row = logits + i * t->labels;
        if (t->kind != DECISION_LABELS)
            decided[i * t->labels + decide_class(t, row, temperatures, thresholds[t->positive])] = 1;
        for (size_t l = 0; t->kind == DECISION_LABELS && l < t->labels; l++)
            decided[i * t->labels + l] = sigmoid(row[l] / temperatures[l]) >= thresholds[l];
    }
    return decided;
}

static void metrics_of_classes(struct metrics *f, const struct truth *t, const uint8_t *decided)
{
    int32_t *predicted = allocate(t->rows, sizeof *predicted);
    struct class_metrics *classes = allocate(t->labels, sizeof *classes);
    for (size_t i = 0; i < t->rows; i++)
        for (uint32_t l = 0; l < t->labels; l++)
            if (decided[i * t->labels + l])
                predicted[i] = (int32_t)l;
    class_metrics(&f->all, classes, predicted, t->class, t->rows, t->labels);
    class_counts(&f->pooled, predicted, t->class, t->rows, t->labels);
    for (uint32_t l = 0; l < t->labels; l++) {
        struct binary_metrics *m = &f->each[l];
        m->true_positive = classes[l].correct;
        m->false_positive = classes[l].predicted - classes[l].correct;
        m->false_negative = classes[l].support - classes[l].correct;
        m->true_negative = t->rows - m->true_positive - m->false_positive - m->false_negative;
        binary_metrics_of_counts(m);
    }
    if (t->kind == DECISION_BINARY)
        f->pooled = f->each[t->positive];
    free(classes);
    free(predicted);
}

static void metrics_of_labels(struct metrics *f, const struct truth *t, const uint8_t *decided)
{
    size_t count = (size_t)t->rows * t->labels;
    double *half = allocate(t->labels, sizeof *half), *certain = allocate(count, sizeof *certain);
    for (uint32_t l = 0; l < t->labels; l++)
        half[l] = 0.5;
    for (size_t i = 0; i < count; i++)
        certain[i] = decided[i];
    label_metrics(&f->all, f->each, &f->pooled, certain, t->targets, half, t->rows, t->labels);
    free(certain);
    free(half);
}

static double loss_of_classes(const struct truth *t, const float *logits, const double *temperatures)
{
    float *scaled = allocate((size_t)t->rows * t->labels, sizeof *scaled);
    for (size_t i = 0; i < (size_t)t->rows * t->labels; i++)
        scaled[i] = (float)(logits[i] / temperatures[i % t->labels]);
    double loss = cross_entropy(scaled, t->class, NULL, t->rows, t->labels);
    free(scaled);
    return loss;
}

void metrics_make(struct metrics *ret, const struct truth *t, const float *logits, const double *temperatures,
                  const double *thresholds)
{
    struct metrics f = {.labels = t->labels, .each = allocate(t->labels, sizeof *f.each)};
    uint8_t *decided = decisions_make(t, logits, temperatures, thresholds);
    if (t->kind == DECISION_LABELS) {
        metrics_of_labels(&f, t, decided);
        f.loss = label_cross_entropy(logits, t->targets, t->rows, t->labels, temperatures);
    } else {
        metrics_of_classes(&f, t, decided);
        f.loss = loss_of_classes(t, logits, temperatures);
    }
    free(decided);
    *ret = f;
}

void metrics_free(struct metrics *f)
{
    free(f->each);
    memset(f, 0, sizeof *f);
}
