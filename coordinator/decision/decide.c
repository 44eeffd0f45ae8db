/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the choice of a decision rule. */
#include "coordinator/decision/decide.h"

#include "common/base/file.h"
#include "common/base/memory.h"
#include "coordinator/sweep/leaderboard.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int decide_binary(struct run *r, struct trial_run *t, const double *p, struct error *e)
{
    const struct at_threshold *baseline = &r->trials[0].own;
    struct validation_scores scores = validation_scores(r->validation, p);
    threshold_curve_free(&t->curve);
    if (tune_sweep(&t->own, &t->curve, &r->job->tune.grid, scores, e) != 0)
        return -1;
    if (baseline->met)
        tune_apply(&t->at_baseline, &r->job->tune.grid, scores, baseline->threshold);
    else
        t->at_baseline = *baseline;
    for (uint32_t l = 0; l < r->labels; l++)
        t->by_label.thresholds[l] = t->own.threshold;
    return 0;
}

/* The most probable class: nothing to choose, so the trial's metrics are those of its best epoch. Ranked by macro F1. */
static int decide_class(struct run *r, struct trial_run *t, const double *p, struct error *e)
{
    struct epoch_score s;
    (void)p;
    if (validation_score_epoch(&s, r->validation, t->logits, t->best_epoch, t->temperatures, e) != 0)
        return -1;
    t->own = t->at_baseline = (struct at_threshold){
        .met = true, .threshold = NAN, .score = s.all.macro_f1, .metrics = s.positive, .macro_f1 = s.all.macro_f1};
    return 0;
}

static struct label_options label_options(const struct run *r)
{
    const struct job *j = r->job;
    return (struct label_options){&j->tune.grid, j->tune.per_class, j->tune.min_positives};
}

static int decide_labels(struct run *r, struct trial_run *t, const double *p, struct error *e)
{
    const struct label_options o = label_options(r);
    const struct label_thresholds *baseline = &r->trials[0].by_label;
    struct validation_labels v = validation_labels(r->validation, p);
    struct label_thresholds found;
    if (tune_labels(&found, &o, v, e) != 0)
        return -1;
    label_thresholds_free(&t->by_label);
    t->by_label = found;
    tune_labels_apply(&t->own, o.grid, v, found.thresholds, found.global);
    tune_labels_apply(&t->at_baseline, o.grid, v, baseline->thresholds, baseline->global);
    if (t != &r->trials[0]) /* a sweep's curves together are large; those that are written are made again */
        label_thresholds_trim(&t->by_label);
    return 0;
}

/* A temperature that does not help is not kept. */
static int calibrate(struct trial_run *t, const struct run *r, struct error *e)
{
    struct logits l;
    struct validation_outputs v;
    if (validation_outputs(&v, &l, r->validation, t->logits, t->best_epoch, e) != 0)
        return -1;
    bool each = strcmp(r->job->tune.calibrate, "vector") == 0;
    int status =
        each ? temperature_fit_each(t->temperatures, &t->fit, v, r->job->tune.min_positives, e) : temperature_fit(&t->fit, v, e);
    for (uint32_t c = 0; status == 0 && !each && c < r->labels; c++)
        t->temperatures[c] = t->fit.temperature;
    logits_free(&l);
    return status;
}

int decide_trial(struct run *r, struct trial_run *t, struct error *e)
{
    static int (*const decide[])(struct run * r, struct trial_run * t, const double *p, struct error *e) = {
        [DECISION_BINARY] = decide_binary, [DECISION_CLASS] = decide_class, [DECISION_LABELS] = decide_labels};
    double *p;
    if (!t->by_label.thresholds) {
        t->by_label.labels = r->labels;
        t->by_label.thresholds = allocate(r->labels, sizeof(double));
        t->temperatures = allocate(r->labels, sizeof(double));
        for (uint32_t l = 0; l < r->labels; l++)
            t->temperatures[l] = 1;
    }
    if (strcmp(r->job->tune.calibrate, "none") != 0 && calibrate(t, r, e) != 0)
        return -1;
    if (validation_probabilities(&p, r->validation, t->logits, t->best_epoch, t->temperatures, e) != 0)
        return -1;
    int status = decide[r->kind](r, t, p, e);
    free(p);
    return status;
}

/* ---- for people ---- */

static int worst_first(const void *left, const void *right)
{
    const struct label_choice *a = *(const struct label_choice *const *)left, *b = *(const struct label_choice *const *)right;
    if (a->half.f1 != b->half.f1)
        return a->half.f1 < b->half.f1 ? -1 : 1;
    return (a > b) - (a < b);
}

static void print_labels(const struct run *r, const struct label_thresholds *t)
{
    const struct label_choice **order = allocate(t->labels, sizeof *order);
    uint32_t own = 0, shown = t->labels < 20 ? t->labels : 20;
    for (uint32_t l = 0; l < t->labels; l++) {
        order[l] = &t->each[l];
        own += t->each[l].own;
    }
    qsort(order, t->labels, sizeof *order, worst_first);
    printf("  global threshold %.4f; %u of %u labels have their own%s\n", t->global, own, t->labels,
           shown < t->labels ? "; the worst at 0.5 are" : "");
    printf("  %-24s positives  F1 at 0.5  threshold      F1\n", "label");
    for (uint32_t i = 0; i < shown; i++) {
        const struct label_choice *c = order[i];
        printf("  %-24s %9llu  %9.4f  %9.4f  %6.4f%s%s\n", r->label_names[c - t->each], (unsigned long long)c->positives,
               c->half.f1, c->threshold, c->tuned.f1, c->own ? "" : "  global: ", c->own ? "" : c->why);
    }
    free(order);
}

void decide_print_temperature(const struct run *r)
{
    const struct trial_run *t = &r->trials[r->order[0]];
    const struct temperature_fit *f = &t->fit;
    if (f->temperature > 0 && f->own > 0)
        printf("  %u of %u temperatures of their own, %.4f for the others: validation NLL %.6f, %.6f without\n", f->own,
               r->labels, f->temperature, f->nll_after, f->nll_before);
    else if (f->temperature > 0 && f->improved)
        printf("  temperature %.4f%s: validation NLL %.6f, %.6f without\n", f->temperature,
               strcmp(r->job->tune.calibrate, "vector") == 0 ? " for all, since one a label lowers no NLL" : "", f->nll_after,
               f->nll_before);
    else if (f->temperature > 0)
        printf("  temperature 1: no other lowers the validation NLL %.6f\n", f->nll_before);
}

void decide_print(const struct run *r, const struct trial_run *t)
{
    if (r->kind == DECISION_CLASS)
        return;
    printf("  thresholds on validation\n");
    if (r->kind == DECISION_BINARY)
        tune_print_curve(&r->job->tune.grid, &t->curve);
    else
        print_labels(r, &t->by_label);
}

char *decision_summary(const struct run *r)
{
    uint32_t own = 0;
    if (r->kind == DECISION_CLASS)
        return duplicate("the most probable class");
    for (uint32_t l = 0; r->kind == DECISION_LABELS && l < r->labels; l++)
        own += r->thresholds[l] != r->threshold;
    return own > 0 ? format_string("threshold %.4f, and %u labels' own", r->threshold, own)
                   : format_string("threshold %.4f", r->threshold);
}

/* ---- the best trial ---- */

/* The trial whose thresholds decide. */
static const struct trial_run *rule_giver(const struct run *r)
{
    return &r->trials[r->job->tune.per_trial ? r->order[0] : 0];
}

int decide_best(struct run *r, struct error *e)
{
    free(r->order);
    r->order = allocate(r->trial_count, sizeof *r->order);
    table_rank(r->order, r->trials, r->trial_count, r->job->tune.per_trial);
    const struct at_threshold *metrics = table_ranked_by(&r->trials[r->order[0]], r->job->tune.per_trial);
    if (!metrics->met)
        return error_set(e, ERROR_FAILED, "no trial meets the rule %s: %s; change tune.rule or its bounds",
                         threshold_rule_names[r->job->tune.grid.rule], metrics->why);
    r->threshold = metrics->threshold;
    r->thresholds = rule_giver(r)->by_label.thresholds;
    r->temperatures = r->trials[r->order[0]].temperatures;
    return 0;
}

/* ---- tune.json ---- */

static struct json *tuned_to_json(const struct run *r, const struct trial_run *t)
{
    struct json *o = json_object();
    json_set_string(o, "trial", t->key);
    json_set_boolean(o, "baseline", t->baseline);
    json_set_number(o, "best_epoch", t->best_epoch);
    json_set(o, "at_own_threshold", at_threshold_to_json(&t->own));
    json_set(o, "at_baseline_threshold", at_threshold_to_json(&t->at_baseline));
    if (r->kind == DECISION_BINARY)
        json_set(o, "points", threshold_curve_to_json(&t->curve));
    return o;
}

static int add_labels(struct json *to, const struct run *r, struct error *e)
{
    const struct trial_run *t = rule_giver(r);
    const struct label_options o = label_options(r);
    struct label_thresholds whole;
    double *p;
    if (validation_probabilities(&p, r->validation, t->logits, t->best_epoch, t->temperatures, e) != 0)
        return -1;
    int status = tune_labels(&whole, &o, validation_labels(r->validation, p), e);
    free(p);
    if (status != 0)
        return -1;
    json_set(to, "thresholds", label_thresholds_to_json(&whole, o.grid, r->label_names));
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

void decide_temperatures(struct json *to, const struct run *r)
{
    const struct trial_run *t = &r->trials[r->order[0]];
    json_set_number(to, "temperature", t->fit.temperature > 0 ? t->fit.temperature : 1);
    if (t->fit.own == 0)
        return;
    struct json *each = json_set(to, "temperatures", json_object());
    for (uint32_t l = 0; l < r->labels; l++)
        json_set_number(each, r->label_names[l], t->temperatures[l]);
}

static int add_grid(struct json *to, const struct run *r, struct validation_outputs v, struct error *e)
{
    struct temperature_point points[TEMPERATURE_GRID];
    int best;
    if (r->kind == DECISION_CLASS)
        return 0;
    if (temperature_grid(points, &best, v, (size_t)r->positive, e) != 0)
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

/* How well the chosen trial's probabilities match frequencies, as they are and at its temperature; and the grid of W4. */
static int add_calibration(struct json *to, const struct run *r, struct error *e)
{
    const struct trial_run *t = &r->trials[r->order[0]];
    struct logits l;
    struct validation_outputs v;
    struct reliability before, after;
    if (validation_outputs(&v, &l, r->validation, t->logits, t->best_epoch, e) != 0)
        return -1;
    struct json *o = json_set(to, "calibration", json_object());
    int status = calibration_measure(&before, v, (size_t)r->positive, NULL, e);
    after = before;
    if (status == 0 && t->fit.improved)
        status = calibration_measure(&after, v, (size_t)r->positive, t->temperatures, e);
    if (status == 0)
        status = add_grid(o, r, v, e);
    logits_free(&l);
    if (status != 0)
        return -1;
    decide_temperatures(o, r);
    json_set_boolean(o, "asked_for", t->fit.temperature > 0);
    json_set_boolean(o, "improved", t->fit.improved);
    json_set(o, "before", reliability_to_json(&before));
    json_set(o, "after", reliability_to_json(&after));
    return 0;
}

static const char *const kind_names[] = {[DECISION_BINARY] = "binary", [DECISION_CLASS] = "class", [DECISION_LABELS] = "labels"};

int decide_write(const struct run *r, struct error *e)
{
    struct json *tune = json_object();
    json_set_string(tune, "decision", kind_names[r->kind]);
    json_set(tune, "rule", threshold_grid_to_json(&r->job->tune.grid));
    json_set_string(tune, "per", r->job->tune.per);
    json_set_string(tune, "part", part_names[PART_VALIDATION]);
    json_set_string(tune, "split_sha256", r->split.sha256);
    json_set_string(tune, "chosen", r->trials[r->order[0]].key);
    json_set(tune, "threshold", json_of_number(r->threshold));
    struct json *trials = json_set(tune, "trials", json_array());
    for (size_t i = 0; i < r->trial_count; i++)
        if (r->trials[i].state == TRIAL_DONE)
            json_append(trials, tuned_to_json(r, &r->trials[i]));
    char *path = path_join(r->directory, "tune.json");
    int status = r->kind == DECISION_LABELS ? add_labels(tune, r, e) : 0;
    if (status == 0)
        status = add_calibration(tune, r, e);
    if (status == 0)
        status = json_write(path, tune, e);
    free(path);
    json_destroy(&tune);
    return status;
}
