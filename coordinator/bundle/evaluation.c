/* SPDX-License-Identifier: Apache-2.0 */
/* The chosen rule beside plainer ones. */
#include "coordinator/bundle/evaluation.h"

#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/score/bootstrap.h"
#include "coordinator/decision/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DRAWS 1000

enum rule { AT_0_5, AT_GLOBAL, AT_THRESHOLD, RULES };
static const char *const rule_names[RULES] = {"half", "global", "tuned"};
static const char *const rule_summary[RULES] = {"0.5 for all", "global threshold", "chosen rule"};

/* A part by every rule; a rule that a kind of decision does not know stays out. */
struct evaluation {
    const struct run_data *data;
    const struct decision *decision;
    uint64_t seed; /* of the resampling */
    struct truth truth;
    bool known[RULES];
    struct metrics metrics[RULES];
    double *draws[RULES];
};

static bool is_known(enum decision_kind kind, enum rule rule)
{
    return rule == AT_THRESHOLD || kind == DECISION_LABELS || (rule == AT_0_5 && kind == DECISION_BINARY);
}

static uint8_t *decide(const struct evaluation *c, const float *logits, const double *thresholds)
{
    uint32_t labels;
    uint8_t *all = decisions_make(&c->truth, logits, c->decision->temperatures, thresholds),
            *decided = truth_columns(&labels, &c->truth, all);
    free(all);
    return decided;
}

/* decided [RULES], NULL of those that are not known. */
static void draw(struct evaluation *c, uint8_t *const *decided)
{
    uint32_t labels;
    size_t count = 0;
    const uint8_t *rules[RULES];
    double *values[RULES];
    uint8_t *truth = truth_columns(&labels, &c->truth, NULL);
    for (int rule = 0; rule < RULES; rule++)
        if (c->known[rule]) {
            c->draws[rule] = allocate(DRAWS, BOOTSTRAP_METRICS * sizeof(double));
            values[count] = c->draws[rule];
            rules[count++] = decided[rule];
        }
    bootstrap_draw(values, rules, count, DRAWS, truth, c->truth.rows, labels, c->truth.kind == DECISION_CLASS, c->seed);
    free(truth);
}

static double threshold_of(const struct evaluation *c, enum rule rule, uint32_t label)
{
    return rule == AT_0_5 ? 0.5 : rule == AT_GLOBAL ? c->decision->threshold : c->decision->thresholds[label];
}

/* Fills c, of which data, decision and seed are set. */
static void evaluate(struct evaluation *c, enum part part, const float *logits)
{
    const struct run_data *d = c->data;
    uint8_t *decided[RULES] = {NULL};
    double *thresholds = allocate(d->labels, sizeof *thresholds);
    truth_read(&c->truth, d->data, d->split.part[part].rows, d->split.part[part].count, (uint32_t)d->positive);
    for (int rule = 0; rule < RULES; rule++) {
        c->known[rule] = is_known(d->kind, rule);
        for (uint32_t l = 0; l < d->labels; l++)
            thresholds[l] = threshold_of(c, rule, l);
        if (!c->known[rule])
            continue;
        metrics_make(&c->metrics[rule], &c->truth, logits, c->decision->temperatures, thresholds);
        decided[rule] = decide(c, logits, thresholds);
    }
    draw(c, decided);
    for (int rule = 0; rule < RULES; rule++)
        free(decided[rule]);
    free(thresholds);
}

static void evaluation_free(struct evaluation *c)
{
    for (int rule = 0; rule < RULES; rule++) {
        metrics_free(&c->metrics[rule]);
        free(c->draws[rule]);
    }
    truth_free(&c->truth);
}

static struct json *intervals_to_json(const double *draws, const double *minus, uint32_t count)
{
    struct json *o = json_object();
    for (int f = 0; f < BOOTSTRAP_METRICS; f++) {
        struct interval i = bootstrap_interval(draws, minus, count, (enum bootstrap_metric)f);
        struct json *list = json_set(o, bootstrap_metric_names[f], json_array());
        json_append(list, json_of_number(i.low));
        json_append(list, json_of_number(i.high));
    }
    return o;
}

/* Metrics of the rule; of two labels micro and macro are those of the positive one, as F1 is. */
static void averages_of(double values[BOOTSTRAP_METRICS], const struct evaluation *c, enum rule rule)
{
    const struct metrics *f = &c->metrics[rule];
    bool binary = c->truth.kind == DECISION_BINARY;
    values[BOOTSTRAP_ACCURACY] = binary ? f->pooled.accuracy : f->all.accuracy;
    values[BOOTSTRAP_MICRO_PRECISION] = f->pooled.precision;
    values[BOOTSTRAP_MICRO_RECALL] = f->pooled.recall;
    values[BOOTSTRAP_MICRO_F1] = f->pooled.f1;
    values[BOOTSTRAP_MACRO_F1] = binary ? f->pooled.f1 : f->all.macro_f1;
    values[BOOTSTRAP_WEIGHTED_F1] = binary ? f->pooled.f1 : f->all.weighted_f1;
}

static struct json *rule_to_json(const struct evaluation *c, enum rule rule)
{
    double values[BOOTSTRAP_METRICS], base[BOOTSTRAP_METRICS];
    struct json *o = json_object();
    averages_of(values, c, rule);
    for (int f = 0; f < BOOTSTRAP_METRICS; f++)
        json_set_number(o, bootstrap_metric_names[f], values[f]);
    json_set_number(o, "loss", c->metrics[rule].loss);
    json_set(o, "intervals", intervals_to_json(c->draws[rule], NULL, DRAWS));
    if (rule == AT_0_5 || !c->known[AT_0_5])
        return o;
    struct json *difference = json_set(o, "difference", json_object());
    averages_of(base, c, AT_0_5);
    for (int f = 0; f < BOOTSTRAP_METRICS; f++)
        json_set_number(difference, bootstrap_metric_names[f], values[f] - base[f]);
    json_set(o, "difference_intervals", intervals_to_json(c->draws[rule], c->draws[AT_0_5], DRAWS));
    return o;
}

static struct json *counts_to_json(const struct binary_metrics *m)
{
    struct json *o = json_object();
    json_set_number(o, "precision", m->precision);
    json_set_number(o, "recall", m->recall);
    json_set_number(o, "f1", m->f1);
    return o;
}

static struct json *label_to_json(const struct evaluation *c, uint32_t l)
{
    const struct binary_metrics *m = &c->metrics[AT_THRESHOLD].each[l];
    struct json *o = json_object();
    json_set_string(o, "label", c->data->label_names[l]);
    json_set_number(o, "support", (double)(m->true_positive + m->false_negative));
    json_set(o, "threshold", c->data->kind == DECISION_CLASS ? json_null() : json_of_number(c->decision->thresholds[l]));
    for (int rule = 0; rule < RULES; rule++)
        if (c->known[rule])
            json_set(o, rule_names[rule], counts_to_json(&c->metrics[rule].each[l]));
    return o;
}

static struct json *evaluation_to_json(const struct evaluation *c)
{
    struct json *o = json_object(), *rules = json_object(), *absent = json_array(), *labels = json_array();
    json_set_number(o, "rows", c->truth.rows);
    json_set_number(o, "draws", DRAWS);
    for (int rule = 0; rule < RULES; rule++)
        if (c->known[rule])
            json_set(rules, rule_names[rule], rule_to_json(c, rule));
    for (uint32_t l = 0; l < c->truth.labels; l++) {
        const struct binary_metrics *m = &c->metrics[AT_THRESHOLD].each[l];
        json_append(labels, label_to_json(c, l));
        if (m->true_positive + m->false_negative == 0)
            json_append(absent, json_of_string(c->data->label_names[l]));
    }
    json_set(o, "rules", rules);
    json_set(o, "labels_without_rows", absent);
    json_set(o, "labels", labels);
    return o;
}

/* In the last column. */
static enum bootstrap_metric last_metric(const struct evaluation *c)
{
    return c->truth.kind == DECISION_BINARY ? BOOTSTRAP_ACCURACY : BOOTSTRAP_MACRO_F1;
}

static void print_rule(const struct evaluation *c, enum rule rule)
{
    double v[BOOTSTRAP_METRICS];
    struct interval i = bootstrap_interval(c->draws[rule], NULL, DRAWS, BOOTSTRAP_MICRO_F1);
    averages_of(v, c, rule);
    printf("  %-18s  %9.4f  %7.4f  %8.4f  [ %.4f,  %.4f]  %8.4f\n", rule_summary[rule], v[BOOTSTRAP_MICRO_PRECISION],
           v[BOOTSTRAP_MICRO_RECALL], v[BOOTSTRAP_MICRO_F1], i.low, i.high, v[last_metric(c)]);
}

/* What the chosen rule gains over 0.5, draw by draw. */
static void print_difference(const struct evaluation *c)
{
    double v[BOOTSTRAP_METRICS], base[BOOTSTRAP_METRICS];
    struct interval i = bootstrap_interval(c->draws[AT_THRESHOLD], c->draws[AT_0_5], DRAWS, BOOTSTRAP_MICRO_F1);
    averages_of(v, c, AT_THRESHOLD);
    averages_of(base, c, AT_0_5);
    for (int f = 0; f < BOOTSTRAP_METRICS; f++)
        v[f] -= base[f];
    printf("  %-18s  %+9.4f  %+7.4f  %+8.4f  [%+.4f, %+.4f]  %+8.4f\n", "difference to 0.5", v[BOOTSTRAP_MICRO_PRECISION],
           v[BOOTSTRAP_MICRO_RECALL], v[BOOTSTRAP_MICRO_F1], i.low, i.high, v[last_metric(c)]);
}

static void print_evaluation(const struct evaluation *c)
{
    bool binary = c->truth.kind == DECISION_BINARY;
    printf("  test, thresholds frozen; 95 %% of %u resampled tests lie within the brackets\n", DRAWS);
    printf("  %-18s  precision   recall  %8s  %18s  %8s\n", "rule", binary ? "F1" : "micro F1", "",
           binary ? "accuracy" : "macro F1");
    for (int rule = 0; rule < RULES; rule++)
        if (c->known[rule])
            print_rule(c, rule);
    if (c->known[AT_0_5])
        print_difference(c);
}

static int add_part(struct json *to, const struct evaluation *of, const struct test_score *score, enum part part, struct error *e)
{
    struct logits l;
    struct evaluation c = *of;
    const struct logits_rows whose = {c.data->data, c.data->split.part[part].rows};
    if (logits_read(&l, score->logits, part, score->epoch, &whose, e) != 0)
        return -1;
    evaluate(&c, part, l.values);
    json_set(to, part_names[part], evaluation_to_json(&c));
    if (part == PART_TEST)
        print_evaluation(&c);
    evaluation_free(&c);
    logits_free(&l);
    return 0;
}

int evaluation_write(const struct run_place *place, const struct run_data *data, const struct decision *decision,
                     const struct test_score *score, struct error *e)
{
    const struct evaluation c = {.data = data, .decision = decision, .seed = place->job->seed};
    struct json *o = json_object();
    char *path = path_join(place->directory, "evaluation.json");
    json_set_string(o, "trial", decision_winner(decision)->of.key);
    json_set_string(o, "split_sha256", data->split.sha256);
    json_set(o, "threshold", json_of_number(decision->threshold));
    int status = add_part(o, &c, score, PART_VALIDATION, e) == 0 && add_part(o, &c, score, PART_TEST, e) == 0
                     ? json_write(path, o, e)
                     : -1;
    free(path);
    json_destroy(&o);
    return status;
}
