/* SPDX-License-Identifier: Apache-2.0 */
/* Tuning of a run's trials on its validation part. */
#include "coordinator/decision/decide.h"

#include "common/base/file.h"
#include "common/base/memory.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tuning {
    const struct decision *decision;
    const struct run_data *data;
    const struct job *job;
};

static int decide_binary(const struct tuning *u, struct tuned_trial *t, const double *p, struct error *e)
{
    const struct at_threshold *baseline = &u->decision->trials[0].own;
    struct validation_scores scores = validation_scores(u->data->validation, p);
    threshold_curve_free(&t->curve);
    if (tune_sweep(&t->own, &t->curve, &u->job->tune.grid, scores, e) != 0)
        return -1;
    if (baseline->met)
        tune_apply(&t->at_baseline, &u->job->tune.grid, scores, baseline->threshold);
    else
        t->at_baseline = *baseline;
    for (uint32_t l = 0; l < u->data->labels; l++)
        t->by_label.thresholds[l] = t->own.threshold;
    return 0;
}

/* The most probable class: nothing to choose, so the trial's metrics are those of its best epoch. Ranked by macro F1. */
static int decide_class(const struct tuning *u, struct tuned_trial *t, const double *p, struct error *e)
{
    struct epoch_score s;
    (void)p;
    if (validation_score_epoch(&s, u->data->validation, t->of.logits, t->of.best_epoch, t->temperatures, e) != 0)
        return -1;
    t->own = t->at_baseline = (struct at_threshold){
        .met = true, .threshold = NAN, .score = s.all.macro_f1, .metrics = s.positive, .macro_f1 = s.all.macro_f1};
    return 0;
}

static int decide_labels(const struct tuning *u, struct tuned_trial *t, const double *p, struct error *e)
{
    const struct label_options o = label_options_of(u->job);
    const struct label_thresholds *baseline = &u->decision->trials[0].by_label;
    struct validation_labels v = validation_labels(u->data->validation, p);
    struct label_thresholds found;
    if (tune_labels(&found, &o, v, e) != 0)
        return -1;
    label_thresholds_free(&t->by_label);
    t->by_label = found;
    tune_labels_apply(&t->own, o.grid, v, found.thresholds, found.global);
    tune_labels_apply(&t->at_baseline, o.grid, v, baseline->thresholds, baseline->global);
    if (t != &u->decision->trials[0]) /* a sweep's curves together are large; those that are written are made again */
        label_thresholds_trim(&t->by_label);
    return 0;
}

/* A temperature that does not help is not kept. */
static int calibrate(struct tuned_trial *t, const struct tuning *u, struct error *e)
{
    struct logits l;
    struct validation_outputs v;
    if (validation_outputs(&v, &l, u->data->validation, t->of.logits, t->of.best_epoch, e) != 0)
        return -1;
    bool each = strcmp(u->job->tune.calibrate, "vector") == 0;
    int status = each ? temperature_fit_each(t->temperatures, t->temperature_why, &t->fit, v, u->job->tune.min_positives, e)
                      : temperature_fit(&t->fit, v, e);
    for (uint32_t c = 0; status == 0 && !each && c < u->data->labels; c++)
        t->temperatures[c] = t->fit.temperature;
    logits_free(&l);
    return status;
}

int decide_trial(struct decision *d, size_t i, const struct run_data *data, const struct job *j, struct error *e)
{
    static int (*const decide[])(const struct tuning *u, struct tuned_trial *t, const double *p, struct error *e) = {
        [DECISION_BINARY] = decide_binary, [DECISION_CLASS] = decide_class, [DECISION_LABELS] = decide_labels};
    const struct tuning u = {d, data, j};
    struct tuned_trial *t = &d->trials[i];
    double *p;
    if (!t->temperatures) {
        t->by_label.labels = data->labels;
        t->by_label.thresholds = allocate(data->labels, sizeof(double));
        t->temperatures = allocate(data->labels, sizeof(double));
        t->temperature_why = allocate(data->labels, sizeof *t->temperature_why);
        for (uint32_t l = 0; l < data->labels; l++)
            t->temperatures[l] = 1;
    }
    if (strcmp(j->tune.calibrate, "none") != 0 && calibrate(t, &u, e) != 0)
        return -1;
    if (validation_probabilities(&p, data->validation, t->of.logits, t->of.best_epoch, t->temperatures, e) != 0)
        return -1;
    int status = decide[data->kind](&u, t, p, e);
    free(p);
    return status;
}

/* ---- for people ---- */

static int worst_first(const void *left, const void *right)
{
    const struct label_choice *a = *(const struct label_choice *const *)left, *b = *(const struct label_choice *const *)right;
    if (a->at_0_5.f1 != b->at_0_5.f1)
        return a->at_0_5.f1 < b->at_0_5.f1 ? -1 : 1;
    return (a > b) - (a < b);
}

static void print_cross(const struct label_thresholds *t, const struct threshold_grid *grid)
{
    char *summary = label_cross_summary(&t->cross, grid);
    if (summary)
        printf("  %s: %s\n", t->cross.better ? "thresholds by label" : "one threshold for all", summary);
    free(summary);
}

static void print_labels(const struct label_thresholds *t, const char *const *label_names)
{
    const struct label_choice **order = allocate(t->labels, sizeof *order);
    uint32_t own = 0, shown = t->labels < 20 ? t->labels : 20;
    for (uint32_t l = 0; l < t->labels; l++) {
        order[l] = &t->each[l];
        own += t->each[l].own;
    }
    qsort(order, t->labels, sizeof *order, worst_first);
    printf("  global threshold %.4f%s%s%s; %u of %u labels have their own%s\n", t->global, t->why ? " (not tuned: " : "",
           t->why ? t->why : "", t->why ? ")" : "", own, t->labels, shown < t->labels ? "; the worst at 0.5 are" : "");
    printf("  %-24s positives  F1 at 0.5  threshold      F1\n", "label");
    for (uint32_t i = 0; i < shown; i++) {
        const struct label_choice *c = order[i];
        printf("  %-24s %9llu  %9.4f  %9.4f  %6.4f%s%s\n", label_names[c - t->each], (unsigned long long)c->positives,
               c->at_0_5.f1, c->threshold, c->at_threshold.f1,
               c->own       ? ""
               : c->neutral ? "  neutral: "
                            : "  global: ",
               c->own ? "" : c->why);
    }
    free(order);
}

void decide_print_temperature(const struct decision *d, const struct job *j, uint32_t labels)
{
    const struct temperature_fit *f = &decision_winner(d)->fit;
    if (f->temperature > 0 && f->own > 0)
        printf("  %u of %u temperatures of their own, %.4f for the others: validation NLL %.6f, %.6f without\n", f->own, labels,
               f->temperature, f->nll_after, f->nll_before);
    else if (f->temperature > 0 && f->improved)
        printf("  temperature %.4f%s: validation NLL %.6f, %.6f without\n", f->temperature,
               strcmp(j->tune.calibrate, "vector") == 0 ? " for all, since one a label lowers no NLL" : "", f->nll_after,
               f->nll_before);
    else if (f->temperature > 0)
        printf("  temperature 1: %s; validation NLL %.6f\n", f->why ? f->why : "one per label lowers no NLL", f->nll_before);
}

void decide_print(const struct tuned_trial *t, const struct run_data *data, const struct job *j)
{
    if (data->kind == DECISION_CLASS)
        return;
    printf("  thresholds on validation\n");
    if (data->kind == DECISION_BINARY)
        tune_print_curve(&j->tune.grid, &t->curve);
    if (data->kind == DECISION_BINARY && t->own.neutral)
        printf("  threshold 0.5: nothing can be tuned, %s\n", t->own.neutral);
    if (data->kind == DECISION_LABELS)
        print_cross(&t->by_label, &j->tune.grid);
    if (data->kind == DECISION_LABELS)
        print_labels(&t->by_label, data->label_names);
}

/* ---- the best trial ---- */

/* The trial whose thresholds decide. */
static const struct tuned_trial *rule_giver(const struct decision *d, const struct job *j)
{
    return &d->trials[j->tune.per_trial ? d->order[0] : 0];
}

int decide_best(struct decision *d, const struct job *j, struct error *e)
{
    free(d->order);
    d->order = allocate(d->count, sizeof *d->order);
    decision_rank(d->order, d->trials, d->count, j->tune.per_trial);
    const struct at_threshold *metrics = decision_ranked_by(decision_winner(d), j->tune.per_trial);
    if (!metrics->met)
        return error_set(e, ERROR_FAILED, "no trial meets the rule %s: %s; change tune.rule or its bounds",
                         threshold_rule_names[j->tune.grid.rule], metrics->why);
    d->threshold = metrics->threshold;
    const struct tuned_trial *giver = rule_giver(d, j);
    d->thresholds = giver->by_label.thresholds;
    d->neutral = giver->own.neutral ? giver->own.neutral : giver->by_label.why;
    d->temperatures = decision_winner(d)->temperatures;
    return 0;
}

/* ---- tune.json ---- */

static struct json *tuned_to_json(const struct tuned_trial *t, enum decision_kind kind)
{
    struct json *o = json_object();
    json_set_string(o, "trial", t->of.key);
    json_set_boolean(o, "baseline", t->of.baseline);
    json_set_number(o, "best_epoch", t->of.best_epoch);
    json_set(o, "at_own_threshold", at_threshold_to_json(&t->own));
    json_set(o, "at_baseline_threshold", at_threshold_to_json(&t->at_baseline));
    if (kind == DECISION_BINARY)
        json_set(o, "points", threshold_curve_to_json(&t->curve));
    return o;
}

static int add_labels(struct json *to, const struct tuning *u, struct error *e)
{
    const struct tuned_trial *t = rule_giver(u->decision, u->job);
    const struct label_options o = label_options_of(u->job);
    struct label_thresholds whole;
    double *p;
    if (validation_probabilities(&p, u->data->validation, t->of.logits, t->of.best_epoch, t->temperatures, e) != 0)
        return -1;
    int status = tune_labels(&whole, &o, validation_labels(u->data->validation, p), e);
    free(p);
    if (status != 0)
        return -1;
    json_set(to, "thresholds", label_thresholds_to_json(&whole, o.grid, u->data->label_names));
    label_thresholds_free(&whole);
    return 0;
}

static struct json *reliability_to_json(const struct reliability *m)
{
    struct json *o = json_object(), *bins = json_array();
    json_set_number(o, "nll", m->nll);
    json_set_number(o, "ece", m->ece);
    json_set_number(o, "brier", m->brier);
    for (int b = 0; b < RELIABILITY_BINS; b++) {
        struct json *bin = json_append(bins, json_object());
        json_set_number(bin, "count", (double)m->bin[b].count);
        json_set_number(bin, "confidence", m->bin[b].confidence);
        json_set_number(bin, "accuracy", m->bin[b].accuracy);
    }
    json_set(o, "bins", bins);
    return o;
}

static int add_grid(struct json *to, const struct run_data *data, struct validation_outputs v, struct error *e)
{
    struct temperature_point points[TEMPERATURE_GRID];
    int best;
    if (data->kind == DECISION_CLASS)
        return 0;
    if (temperature_grid(points, &best, v, (size_t)data->positive, e) != 0)
        return -1;
    struct json *o = json_set(to, "grid", json_object()), *list = json_array();
    for (int k = 0; k < TEMPERATURE_GRID; k++) {
        struct json *point = json_append(list, json_array());
        json_append(point, json_of_number(points[k].temperature));
        json_append(point, json_of_number(points[k].threshold));
        json_append(point, json_of_number(points[k].f1));
    }
    json_set(o, "best", json_copy(json_at(list, (size_t)best)));
    json_set(o, "points", list); /* temperature, threshold, F1 */
    return 0;
}

static void add_temperature_reasons(struct json *to, const struct tuned_trial *t, const struct run_data *data)
{
    struct json *reasons = json_object();
    for (uint32_t l = 0; l < data->labels; l++)
        if (t->temperature_why[l])
            json_set_string(reasons, data->label_names[l], t->temperature_why[l]);
    if (json_size(reasons) > 0)
        json_set(to, "reasons", reasons);
    else
        json_destroy(&reasons);
}

/* How well the chosen trial's probabilities match frequencies, as they are and at its temperature; and the grid of W4. */
static int add_calibration(struct json *to, const struct tuning *u, struct error *e)
{
    const struct tuned_trial *t = decision_winner(u->decision);
    struct logits l;
    struct validation_outputs v;
    struct reliability before, after;
    if (validation_outputs(&v, &l, u->data->validation, t->of.logits, t->of.best_epoch, e) != 0)
        return -1;
    struct json *o = json_set(to, "calibration", json_object());
    int status = calibration_measure(&before, v, (size_t)u->data->positive, NULL, e);
    after = before;
    if (status == 0 && t->fit.improved)
        status = calibration_measure(&after, v, (size_t)u->data->positive, t->temperatures, e);
    if (status == 0)
        status = add_grid(o, u->data, v, e);
    logits_free(&l);
    if (status != 0)
        return -1;
    decision_temperatures_to_json(o, u->decision, u->data->label_names, u->data->labels);
    json_set_boolean(o, "asked_for", t->fit.temperature > 0);
    json_set_boolean(o, "improved", t->fit.improved);
    if (t->fit.why)
        json_set_string(o, "why", t->fit.why);
    add_temperature_reasons(o, t, u->data);
    json_set(o, "before", reliability_to_json(&before));
    json_set(o, "after", reliability_to_json(&after));
    return 0;
}

static const char *const kind_names[] = {[DECISION_BINARY] = "binary", [DECISION_CLASS] = "class", [DECISION_LABELS] = "labels"};

int decide_write(const struct decision *d, const struct run_data *data, const struct job *j, const char *directory,
                 struct error *e)
{
    const struct tuning u = {d, data, j};
    struct json *tune = json_object();
    json_set_string(tune, "decision", kind_names[data->kind]);
    json_set(tune, "rule", threshold_grid_to_json(&j->tune.grid));
    json_set_string(tune, "per", j->tune.per);
    json_set_string(tune, "part", part_names[PART_VALIDATION]);
    json_set_string(tune, "split_sha256", data->split.sha256);
    json_set_string(tune, "chosen", decision_winner(d)->of.key);
    json_set(tune, "threshold", json_of_number(d->threshold));
    if (d->neutral)
        json_set_string(tune, "why", d->neutral);
    struct json *trials = json_set(tune, "trials", json_array());
    for (size_t i = 0; i < d->count; i++)
        if (d->trials[i].of.state == TRIAL_DONE)
            json_append(trials, tuned_to_json(&d->trials[i], data->kind));
    char *path = path_join(directory, "tune.json");
    int status = data->kind == DECISION_LABELS ? add_labels(tune, &u, e) : 0;
    if (status == 0)
        status = add_calibration(tune, &u, e);
    if (status == 0)
        status = json_write(path, tune, e);
    free(path);
    json_destroy(&tune);
    return status;
}
