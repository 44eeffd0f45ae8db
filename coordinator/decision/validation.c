/* SPDX-License-Identifier: Apache-2.0 */
/* The validation part, and the choice of an epoch on it. */
#include "coordinator/decision/validation.h"

#include "common/base/memory.h"
#include "common/score/labels.h"
#include "coordinator/decision/metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct validation {
    enum decision_kind kind;
    uint32_t rows, labels;
    int positive;
    int32_t *class, *is_positive;
    uint8_t *targets; /* (rows, labels) of many labels a row; else NULL */
    char split_sha256[65];
    struct logits_rows whose;
};

static uint8_t *copy_targets(const struct dataset *d, const uint32_t *rows, uint32_t count)
{
    uint32_t labels = dataset_labels(d);
    uint8_t *targets = allocate(count, labels);
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t l = 0; l < labels; l++)
            targets[(size_t)i * labels + l] = dataset_targets(d, rows[i])[l] > 0;
    return targets;
}

void validation_create(struct validation **ret, const struct dataset *d, const struct split *s, int positive)
{
    struct validation *v = allocate(1, sizeof *v);
    v->rows = s->part[PART_VALIDATION].count;
    v->labels = dataset_labels(d);
    v->positive = positive;
    v->kind = decision_kind_of(dataset_is_multi(d), v->labels);
    if (v->kind == DECISION_LABELS)
        v->targets = copy_targets(d, s->part[PART_VALIDATION].rows, v->rows);
    v->class = allocate(v->rows, sizeof *v->class);
    v->is_positive = allocate(v->rows, sizeof *v->is_positive);
    for (uint32_t i = 0; i < v->rows; i++) {
        v->class[i] = dataset_class(d, s->part[PART_VALIDATION].rows[i]);
        v->is_positive[i] = v->class[i] == positive;
    }
    v->whose = (struct logits_rows){d, s->part[PART_VALIDATION].rows};
    memcpy(v->split_sha256, s->sha256, sizeof v->split_sha256);
    *ret = v;
}

void validation_destroy(struct validation **v)
{
    if (!*v)
        return;
    free((*v)->class);
    free((*v)->is_positive);
    free((*v)->targets);
    free(*v);
    *v = NULL;
}

static int read_logits(struct logits *ret, const struct validation *v, const char *path, uint32_t epoch, struct error *e)
{
    if (logits_read(ret, path, PART_VALIDATION, (int)epoch, &v->whose, e) != 0)
        return -1;
    if (strcmp(ret->split_sha256, v->split_sha256) != 0)
        error_set(e, ERROR_DATA,
                  "%s: was made with another split (%.12s...) than this run's (%.12s...); remove its trial's directory", path,
                  ret->split_sha256, v->split_sha256);
    else if (ret->rows != v->rows || ret->labels != v->labels)
        error_set(e, ERROR_DATA, "%s: epoch %u holds logits of %u rows and %u labels, the validation part has %u and %u", path,
                  epoch, ret->rows, ret->labels, v->rows, v->labels);
    else
        return 0;
    logits_free(ret);
    return -1;
}

static double *probabilities(const struct validation *v, const struct logits *l, const double *temperatures)
{
    bool each = v->kind == DECISION_LABELS;
    double *p = allocate(v->rows, (each ? v->labels : 1) * sizeof *p);
    if (each)
        label_probabilities(p, l->values, v->rows, v->labels, temperatures);
    else
        probabilities_of_class(p, l->values, v->rows, v->labels, (size_t)v->positive, temperatures);
    return p;
}

static void rank_classes(struct ranking *ret, const struct validation *v, const struct logits *l, const double *temperatures)
{
    double *p = allocate(v->rows, v->labels * sizeof *p);
    uint8_t *truth = allocate(v->rows, v->labels);
    for (size_t i = 0; i < v->rows; i++) {
        softmax(p + i * v->labels, l->values + i * v->labels, v->labels, temperatures);
        truth[i * v->labels + (size_t)v->class[i]] = 1;
    }
    ranking_metrics(ret, p, truth, v->rows, v->labels);
    free(truth);
    free(p);
}

/* What p >= 0.5 says, so that all metrics of an epoch speak of the same predictions. */
static void score_binary(struct epoch_score *s, const struct validation *v, const struct logits *l, const double *temperatures)
{
    double *p = probabilities(v, l, temperatures);
    int32_t *predicted = allocate(v->rows, sizeof *predicted);
    for (uint32_t i = 0; i < v->rows; i++)
        predicted[i] = p[i] >= 0.5 ? v->positive : 1 - v->positive;
    binary_metrics(&s->positive, p, v->is_positive, v->rows, 0.5);
    class_metrics(&s->all, NULL, predicted, v->class, v->rows, v->labels);
    uint8_t *truth = allocate(v->rows, sizeof *truth);
    for (uint32_t i = 0; i < v->rows; i++)
        truth[i] = v->is_positive[i] != 0;
    ranking_metrics(&s->ranking, p, truth, v->rows, 1);
    free(truth);
    free(predicted);
    free(p);
}

static void score_classes(struct epoch_score *s, const struct validation *v, const struct logits *l, const double *temperatures)
{
    int32_t *predicted = allocate(v->rows, sizeof *predicted);
    for (uint32_t i = 0; i < v->rows; i++)
        predicted[i] = (int32_t)highest_scaled(l->values + (size_t)i * v->labels, v->labels, temperatures);
    class_metrics(&s->all, NULL, predicted, v->class, v->rows, v->labels);
    class_counts(&s->positive, predicted, v->class, v->rows, v->labels);
    rank_classes(&s->ranking, v, l, temperatures);
    free(predicted);
}

static void score_labels(struct epoch_score *s, const struct validation *v, const struct logits *l, const double *temperatures)
{
    double *p = probabilities(v, l, temperatures), *half = allocate(v->labels, sizeof *half);
    for (uint32_t c = 0; c < v->labels; c++)
        half[c] = 0.5;
    label_metrics(&s->all, NULL, &s->positive, p, v->targets, half, v->rows, v->labels);
    ranking_metrics(&s->ranking, p, v->targets, v->rows, v->labels);
    free(half);
    free(p);
}

int validation_score_epoch(struct epoch_score *ret, const struct validation *v, const char *logits, uint32_t epoch,
                           const double *temperatures, struct error *e)
{
    static void (*const score[])(struct epoch_score * s, const struct validation *v, const struct logits *l,
                                 const double *temperatures) = {
        [DECISION_BINARY] = score_binary, [DECISION_CLASS] = score_classes, [DECISION_LABELS] = score_labels};
    struct logits l;
    if (read_logits(&l, v, logits, epoch, e) != 0)
        return -1;
    struct epoch_score s = {.epoch = epoch, .loss = l.loss};
    score[v->kind](&s, v, &l, temperatures);
    logits_free(&l);
    *ret = s;
    return 0;
}

enum decision_kind validation_kind(const struct validation *v)
{
    return v->kind;
}

uint32_t validation_rows(const struct validation *v)
{
    return v->rows;
}

int validation_probabilities(double **ret, const struct validation *v, const char *logits, uint32_t epoch,
                             const double *temperatures, struct error *e)
{
    struct logits l;
    if (read_logits(&l, v, logits, epoch, e) != 0)
        return -1;
    *ret = probabilities(v, &l, temperatures);
    logits_free(&l);
    return 0;
}

struct validation_labels validation_labels(const struct validation *v, const double *probability)
{
    return (struct validation_labels){.probability = probability, .truth = v->targets, .rows = v->rows, .labels = v->labels};
}

int validation_outputs(struct validation_outputs *ret, struct logits *l, const struct validation *v, const char *logits,
                       uint32_t epoch, struct error *e)
{
    if (read_logits(l, v, logits, epoch, e) != 0)
        return -1;
    *ret = (struct validation_outputs){l->values, v->targets ? NULL : v->class, v->targets, v->rows, v->labels};
    return 0;
}

struct validation_scores validation_scores(const struct validation *v, const double *probability)
{
    return (struct validation_scores){.probability = probability, .truth = v->is_positive, .count = v->rows};
}

int validation_distance(double *ret, const struct validation *v, const char *logits, uint32_t epoch, const char *other,
                        uint32_t other_epoch, struct error *e)
{
    struct logits a, b;
    if (read_logits(&a, v, logits, epoch, e) != 0)
        return -1;
    if (read_logits(&b, v, other, other_epoch, e) != 0) {
        logits_free(&a);
        return -1;
    }
    double most = 0;
    for (size_t i = 0; i < (size_t)v->rows * v->labels; i++)
        most = fmax(most, fabs((double)a.values[i] - (double)b.values[i]));
    logits_free(&a);
    logits_free(&b);
    *ret = most;
    return 0;
}

static double by_loss(const struct epoch_score *s)
{
    return -s->loss;
}

static double by_f1(const struct epoch_score *s)
{
    return s->positive.f1;
}

static double by_micro_f1(const struct epoch_score *s)
{
    return s->all.micro_f1;
}

static double by_macro_f1(const struct epoch_score *s)
{
    return s->all.macro_f1;
}

static double by_best_f1(const struct epoch_score *s)
{
    return s->ranking.best_f1;
}

static double by_average_precision(const struct epoch_score *s)
{
    return s->ranking.average_precision;
}

static const struct {
    const char *name; /* of train.select */
    double (*worth)(const struct epoch_score *s);
} selectors[] = {{"loss", by_loss},         {"f1", by_f1},           {"micro_f1", by_micro_f1},
                 {"macro_f1", by_macro_f1}, {"best_f1", by_best_f1}, {"average_precision", by_average_precision}};

static double (*selector(const char *select))(const struct epoch_score *s)
{
    for (size_t i = 0; i < sizeof selectors / sizeof selectors[0]; i++)
        if (strcmp(selectors[i].name, select) == 0)
            return selectors[i].worth;
    return by_loss;
}

double epoch_metric(const struct epoch_score *s, const char *select)
{
    return selector(select) == by_loss ? s->loss : selector(select)(s);
}

void select_epoch(struct selection *ret, const struct epoch_score *epochs, uint32_t count, const char *select, uint32_t patience)
{
    double (*worth)(const struct epoch_score *s) = selector(select);
    uint32_t best = 0;
    for (uint32_t i = 1; i < count; i++)
        if (worth(&epochs[i]) > worth(&epochs[best]))
            best = i;
    *ret =
        (struct selection){.best = best + 1, .latest = best + 1 == count, .stop = patience > 0 && count - (best + 1) >= patience};
}
