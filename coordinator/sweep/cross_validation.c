/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/sweep/cross_validation.h"

#include "common/base/file.h"
#include "common/base/memory.h"
#include "coordinator/decision/metrics.h"
#include "coordinator/sweep/training.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Another training of t's configuration. suffix: consumed. */
static struct trial_run another(const struct trial_run *t, char *suffix)
{
    struct trial_run other = {.key = format_string("%s_%s", t->key, suffix),
                              .configuration = t->configuration,
                              .configuration_key = duplicate(t->configuration_key),
                              .values = t->values ? json_copy(t->values) : NULL,
                              .options = json_copy(t->options),
                              .job = t->job,
                              .baseline = t->baseline};
    free(suffix);
    return other;
}

void cross_validation_plan(struct trials *ret, struct trials *t, const struct job *j, const struct run_data *data)
{
    uint32_t k = j->split.folds;
    *ret = (struct trials){.list = allocate(t->count * k, sizeof *ret->list), .baselines = t->baselines * k};
    for (size_t i = 0; i < t->count; i++) {
        t->list[i].gathered = true;
        for (uint32_t f = 0; f < k; f++) {
            struct trial_run *to = &ret->list[ret->count++];
            *to = another(&t->list[i], format_string("fold-%u", f + 1));
            to->data = &data->folds[f];
        }
    }
}

/* ---- out-of-fold logits ---- */

/* What the rows of a fold weigh in its loss. */
static double weight_of(const struct trial_run *t)
{
    const struct run_data *d = t->data;
    double sum = 0;
    for (uint32_t i = 0; i < d->split.part[PART_VALIDATION].count; i++)
        sum += t->job.multi ? d->labels
                            : (double)(float)t->class_weights[dataset_class(d->data, d->split.part[PART_VALIDATION].rows[i])];
    return sum;
}

/* Puts the logits of fold f where its rows stand among all. */
static int add_fold(struct logits *to, double *weights, const struct trial_run *t, uint32_t f, const struct run_data *data,
                    struct error *e)
{
    const struct logits_rows whose = {data->data, t->data->split.part[PART_VALIDATION].rows};
    struct logits l;
    if (logits_read(&l, t->logits, PART_VALIDATION, to->epoch, &whose, e) != 0)
        return -1;
    if (l.rows != t->data->split.part[PART_VALIDATION].count || l.labels != to->labels ||
        strcmp(l.split_sha256, t->data->split.sha256) != 0) {
        logits_free(&l);
        return error_set(e, ERROR_DATA, "%s: was made with another split; remove its trial's directory", t->logits);
    }
    uint32_t next = 0;
    for (uint32_t i = 0; i < to->rows; i++)
        if (data->fold_of[data->split.part[PART_VALIDATION].rows[i]] == f)
            memcpy(to->values + (size_t)i * to->labels, l.values + (size_t)next++ * l.labels, l.labels * sizeof *l.values);
    double weight = weight_of(t);
    to->loss += l.loss * weight;
    *weights += weight;
    logits_free(&l);
    return 0;
}

static int gather_epoch(const struct trial_run *t, const struct trial_run *folds, const struct run_data *data, uint32_t epoch,
                        struct error *e)
{
    struct logits l = {
        .part = PART_VALIDATION, .epoch = (int)epoch, .rows = data->split.part[PART_VALIDATION].count, .labels = data->labels};
    double weights = 0;
    int status = 0;
    l.values = allocate(l.rows, l.labels * sizeof *l.values);
    memcpy(l.split_sha256, data->split.sha256, sizeof l.split_sha256);
    for (uint32_t f = 0; f < data->fold_count && status == 0; f++)
        status = add_fold(&l, &weights, &folds[f], f, data, e);
    l.loss /= weights;
    if (status == 0)
        status = logits_append(t->logits, &l, e);
    logits_free(&l);
    return status;
}

/* Of the folds: whether all are done; if one failed, t says so. */
static bool are_done(struct trial_run *t, const struct trial_run *folds, uint32_t k)
{
    for (uint32_t f = 0; f < k; f++)
        if (folds[f].state == TRIAL_FAILED) {
            free(t->why);
            t->why = format_string("fold %u: %s", f + 1, folds[f].why);
            t->state = TRIAL_FAILED;
            return false;
        }
    for (uint32_t f = 0; f < k; f++)
        if (folds[f].state != TRIAL_DONE)
            return false;
    return true;
}

int cross_validation_gather(struct trial_run *t, const struct trial_run *folds, const struct run_data *data, struct error *e)
{
    uint32_t k = data->fold_count, epochs = UINT32_MAX;
    struct selection chosen;
    if (t->state == TRIAL_DONE || !are_done(t, folds, k))
        return 0;
    for (uint32_t f = 0; f < k; f++)
        epochs = folds[f].epochs_done < epochs ? folds[f].epochs_done : epochs;
    if (directory_create(t->directory, e) != 0)
        return -1;
    unlink(t->logits); /* the epochs of other folds are not added to */
    for (uint32_t epoch = 1; epoch <= epochs; epoch++)
        if (gather_epoch(t, folds, data, epoch, e) != 0)
            return -1;
    if (trials_score_epochs(t, data, epochs, e) != 0)
        return -1;
    select_epoch(&chosen, t->epochs, epochs, t->job.train.select, 0);
    t->epochs_done = epochs;
    t->best_epoch = chosen.best;
    t->steps = t->tokens = 0;
    t->seconds = 0;
    for (uint32_t f = 0; f < k; f++) {
        t->steps += folds[f].steps;
        t->tokens += folds[f].tokens;
        t->seconds += folds[f].seconds;
    }
    t->state = TRIAL_DONE;
    return 0;
}

/* ---- the metrics of each fold ---- */

static void score_fold(double ret[REPEATED_METRICS], const float *values, const struct trial_run *fold,
                       const struct tuned_trial *tuned, const double *thresholds, const struct job *j)
{
    const struct run_data *d = fold->data;
    struct truth truth;
    struct metrics m;
    truth_read(&truth, d->data, d->split.part[PART_VALIDATION].rows, d->split.part[PART_VALIDATION].count, (uint32_t)d->positive);
    metrics_make(&m, &truth, values, tuned->temperatures, thresholds);
    bool by_macro = d->kind == DECISION_CLASS;
    double score = by_macro ? m.all.macro_f1 : threshold_score(&j->tune.grid, &m.pooled);
    ret[REPEATED_SCORE] = score < 0 ? NAN : score; /* a rule whose condition this fold misses */
    ret[REPEATED_PRECISION] = m.pooled.precision;
    ret[REPEATED_RECALL] = m.pooled.recall;
    ret[REPEATED_F1] = m.pooled.f1;
    ret[REPEATED_MACRO_F1] = d->kind == DECISION_BINARY ? NAN : m.all.macro_f1;
    metrics_free(&m);
    truth_free(&truth);
}

int cross_validation_score(struct trial_run *t, const struct trial_run *folds, const struct decision *d, size_t i,
                           const struct run_data *data, const struct job *j, struct error *e)
{
    const struct tuned_trial *tuned = &d->trials[i];
    const double *thresholds = d->trials[j->tune.per_trial ? i : 0].by_label.thresholds;
    if (t->state != TRIAL_DONE || !decision_ranked_by(tuned, j->tune.per_trial)->met)
        return 0;
    double *all = allocate((size_t)data->fold_count * REPEATED_METRICS, sizeof *all);
    for (uint32_t f = 0; f < data->fold_count; f++) {
        const struct logits_rows whose = {data->data, folds[f].data->split.part[PART_VALIDATION].rows};
        const struct epoch_score *epoch = &folds[f].epochs[t->best_epoch - 1];
        double *of = all + (size_t)f * REPEATED_METRICS;
        struct logits l;
        if (logits_read(&l, folds[f].logits, PART_VALIDATION, (int)t->best_epoch, &whose, e) != 0) {
            free(all);
            return -1;
        }
        score_fold(of, l.values, &folds[f], tuned, thresholds, j);
        of[REPEATED_LOSS] = epoch->loss;
        of[REPEATED_SELECTED] = epoch_metric(epoch, t->job.train.select);
        logits_free(&l);
    }
    free(t->fold_metrics);
    t->fold_metrics = all;
    return 0;
}

/* ---- the weights ---- */

static void take_weights(struct trial_run *t, const struct trial_run *from)
{
    memcpy(t->weights_identity, from->identity, sizeof t->weights_identity);
    free(t->weights);
    free(t->directory);
    t->weights = duplicate(from->weights);
    t->directory = duplicate(from->directory);
}

static int train_whole(struct trial_run *t, const struct run_place *place, const struct run_data *data, struct workers *workers,
                       struct error *e)
{
    struct trials whole = {.list = allocate(1, sizeof *whole.list), .count = 1, .baselines = 1};
    struct trial_run *one = &whole.list[0];
    *one = another(t, format_string("whole-%u", t->best_epoch));
    one->last_epoch = t->best_epoch;
    one->data = data;
    int status = trials_prepare(&whole, place, data, e);
    if (status == 0 && one->state == TRIAL_DONE)
        printf("  %s  done before\n", one->key);
    if (status == 0)
        status = trials_train(&whole, 0, 1, place, data, workers, e);
    if (status == 0)
        take_weights(t, one);
    sweep_free(&whole);
    return status;
}

static double worth(const struct trial_run *t)
{
    double metric = epoch_metric(&t->epochs[t->best_epoch - 1], t->job.train.select);
    return strcmp(t->job.train.select, "loss") == 0 ? -metric : metric;
}

int cross_validation_weights(struct trial_run *t, char **origin, const struct trial_run *folds, const struct run_place *place,
                             const struct run_data *data, struct workers *workers, struct error *e)
{
    uint32_t best = 0;
    if (strcmp(place->job->publish.of, "whole") == 0) {
        if (train_whole(t, place, data, workers, e) != 0)
            return -1;
        *origin = format_string("all %u rows of train and validation", data->split.part[PART_TRAIN].count);
        return 0;
    }
    for (uint32_t f = 1; f < data->fold_count; f++)
        if (worth(&folds[f]) > worth(&folds[best]))
            best = f;
    take_weights(t, &folds[best]);
    *origin = format_string("fold %u of %u, epoch %u", best + 1, data->fold_count, folds[best].best_epoch);
    return 0;
}
