/* SPDX-License-Identifier: Apache-2.0 */
/* Models compared on equal terms. */
#include "coordinator/compare/scored_model.h"

#include "common/base/memory.h"
#include "common/score/labels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LEAST 1e-15 /* probabilities are kept so far from 0 and 1: logits stay finite */

const char *const headline_names[] = {[DECISION_BINARY] = "F1", [DECISION_CLASS] = "macro F1", [DECISION_LABELS] = "micro F1"};

double scored_model_headline(const struct scored_model *c, enum part part)
{
    const struct metrics *f = &c->at_threshold[part];
    return c->kind == DECISION_BINARY ? f->pooled.f1 : c->kind == DECISION_CLASS ? f->all.macro_f1 : f->all.micro_f1;
}

void probabilities_of(double *p, const struct truth *t, const float *logits)
{
    if (t->kind == DECISION_LABELS) {
        label_probabilities(p, logits, t->rows, t->labels, NULL);
        return;
    }
    for (size_t i = 0; i < t->rows; i++)
        softmax(p + i * t->labels, logits + i * t->labels, t->labels, NULL);
}

void logits_of(float *logits, const struct truth *t, const double *p)
{
    for (size_t i = 0; i < (size_t)t->rows * t->labels; i++) {
        double q = fmin(fmax(p[i], LEAST), 1 - LEAST);
        logits[i] = (float)(t->kind == DECISION_LABELS ? log(q / (1 - q)) : log(q));
    }
}

/* ---- thresholds, on validation ---- */

static void set_all(double *thresholds, uint32_t labels, double value)
{
    for (uint32_t l = 0; l < labels; l++)
        thresholds[l] = value;
}

static int choose_binary(double *thresholds, double *score, const struct label_options *o, const double *p, const struct truth *t,
                         struct error *e)
{
    double *positive = allocate(t->rows, sizeof *positive);
    int32_t *is_positive = allocate(t->rows, sizeof *is_positive);
    struct at_threshold at;
    struct threshold_curve curve = {0};
    for (size_t i = 0; i < t->rows; i++) {
        positive[i] = p[i * t->labels + t->positive];
        is_positive[i] = t->class[i] == (int32_t)t->positive;
    }
    int status = tune_sweep(&at, &curve, o->grid, (struct validation_scores){positive, is_positive, t->rows}, e);
    if (status == 0) {
        set_all(thresholds, t->labels, at.met ? at.threshold : 0.5);
        *score = at.met ? at.score : -1;
    }
    threshold_curve_free(&curve);
    free(is_positive);
    free(positive);
    return status;
}

static int choose_labels(double *thresholds, double *score, const struct label_options *o, const double *p, const struct truth *t,
                         struct error *e)
{
    struct validation_labels v = {p, t->targets, t->rows, t->labels};
    struct label_thresholds found;
    struct at_threshold at;
    if (tune_labels(&found, o, v, e) != 0)
        return -1;
    tune_labels_apply(&at, o->grid, v, found.thresholds, found.global);
    memcpy(thresholds, found.thresholds, t->labels * sizeof *thresholds);
    *score = at.score;
    label_thresholds_free(&found);
    return 0;
}

/* The most probable class: no threshold, so what a model is worth is its macro F1. */
static int choose_class(double *thresholds, double *score, const struct label_options *o, const double *p, const struct truth *t,
                        struct error *e)
{
    (void)o, (void)e;
    int32_t *predicted = allocate(t->rows, sizeof *predicted);
    struct averaged_metrics m;
    for (size_t i = 0; i < t->rows; i++)
        for (uint32_t l = 1; l < t->labels; l++)
            if (p[i * t->labels + l] > p[i * t->labels + (size_t)predicted[i]])
                predicted[i] = (int32_t)l;
    class_metrics(&m, NULL, predicted, t->class, t->rows, t->labels);
    free(predicted);
    set_all(thresholds, t->labels, 0.5);
    *score = m.macro_f1;
    return 0;
}

int scored_model_choose(double *thresholds, double *score, const struct label_options *o, const double *p,
                        const struct truth *validation, struct error *e)
{
    static int (*const choose[])(double *thresholds, double *score, const struct label_options *o, const double *p,
                                 const struct truth *t, struct error *e) = {
        [DECISION_BINARY] = choose_binary, [DECISION_CLASS] = choose_class, [DECISION_LABELS] = choose_labels};
    return choose[validation->kind](thresholds, score, o, p, validation, e);
}

int scored_model_tune(struct scored_model *c, const struct label_options *o, struct validation_logits v, struct error *e)
{
    const struct truth *t = v.truth;
    double *p = allocate((size_t)t->rows * t->labels, sizeof *p), *thresholds = allocate(t->labels, sizeof *thresholds), score;
    probabilities_of(p, t, v.values);
    int status = scored_model_choose(thresholds, &score, o, p, t, e);
    free(p);
    if (status != 0) {
        free(thresholds);
        return -1;
    }
    free(c->thresholds);
    c->kind = t->kind;
    c->labels = t->labels;
    c->positive = t->positive;
    c->thresholds = thresholds;
    c->met = score >= 0;
    c->score = score;
    return 0;
}

/* ---- metrics, with the thresholds frozen ---- */

void scored_model_score(struct scored_model *c, enum part part, const struct truth *t)
{
    double *ones = allocate(t->labels, sizeof *ones), *halves = allocate(t->labels, sizeof *halves);
    set_all(ones, t->labels, 1);
    set_all(halves, t->labels, 0.5);
    metrics_free(&c->at_0_5[part]);
    metrics_free(&c->at_threshold[part]);
    metrics_make(&c->at_0_5[part], t, c->logits[part], ones, halves);
    metrics_make(&c->at_threshold[part], t, c->logits[part], ones, c->thresholds);
    free(halves);
    free(ones);
}

void scored_model_free(struct scored_model *c)
{
    for (int part = 0; part < PART_COUNT; part++) {
        free(c->logits[part]);
        metrics_free(&c->at_0_5[part]);
        metrics_free(&c->at_threshold[part]);
    }
    free(c->thresholds);
    memset(c, 0, sizeof *c);
}

static struct json *part_metrics_to_json(const struct metrics *f, enum decision_kind kind)
{
    struct json *o = metrics_to_json(&f->pooled);
    if (kind != DECISION_BINARY) {
        averages_to_json(o, &f->all);
        json_set_number(o, "accuracy", f->all.accuracy);
    }
    json_set_number(o, "loss", f->loss);
    return o;
}

static struct json *part_to_json(const struct scored_model *c, enum part part)
{
    struct json *o = json_object();
    json_set(o, "at_half", part_metrics_to_json(&c->at_0_5[part], c->kind));
    json_set(o, "at_threshold", part_metrics_to_json(&c->at_threshold[part], c->kind));
    return o;
}

struct json *scored_model_to_json(const struct scored_model *c, const char *const *label_names)
{
    struct json *o = json_object();
    json_set_string(o, "name", c->name);
    json_set_boolean(o, "meets_rule", c->met);
    json_set_number(o, "score", c->score);
    if (c->kind == DECISION_BINARY)
        json_set_number(o, "threshold", c->thresholds[c->positive]);
    struct json *each = c->kind == DECISION_LABELS ? json_set(o, "thresholds", json_object()) : NULL;
    for (uint32_t l = 0; each && l < c->labels; l++)
        json_set_number(each, label_names[l], c->thresholds[l]);
    json_set(o, "validation", part_to_json(c, PART_VALIDATION));
    json_set(o, "test", part_to_json(c, PART_TEST));
    return o;
}
