/* muster evaluate: a bundle on labelled rows, at its own temperature and threshold; a gate for CI. */
#include "common/base/memory.h"
#include "common/score/metrics.h"
#include "coordinator/scoring.h"
#include "coordinator/tune.h"
#include "coordinator/verbs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct option evaluate_options[] = {
    {"min-f1", 0, "X", NULL, "exit 4 if F1 (macro F1 with more than two labels) is below X"},
    {"json", 0, NULL, NULL, "print the metrics as JSON"},
    {"device", 0, "NAME", "auto", "what computes: auto, cpu, cpu_reference"},
    {"threads", 0, "N", "0", "threads; 0: all cores"},
    {NULL},
};

struct evaluation {
    uint32_t rows;
    double loss, f1; /* f1: what the gate looks at */
    bool binary;
    struct binary_metrics positive;
    struct averaged_metrics all;
};

/* -log p of the true class, mean over rows: at the bundle's temperature, unweighted. */
static double mean_loss(const struct scoring *s, const int32_t *truth)
{
    float *scaled = allocate((size_t)s->rows * s->labels, sizeof(float));
    for (size_t i = 0; i < (size_t)s->rows * s->labels; i++)
        scaled[i] = (float)(s->logits[i] / bundle_decision(s->bundle)->temperature);
    double loss = cross_entropy(scaled, truth, NULL, s->rows, s->labels);
    free(scaled);
    return loss;
}

static void evaluate(struct evaluation *ret, const struct scoring *s)
{
    const struct decision *d = bundle_decision(s->bundle);
    int32_t *truth = allocate(s->rows, sizeof *truth), *predicted = allocate(s->rows, sizeof *predicted);
    int32_t *positive = allocate(s->rows, sizeof *positive);
    double *p = allocate(s->rows, sizeof *p);
    for (uint32_t i = 0; i < s->rows; i++) {
        truth[i] = dataset_class(s->data, i);
        predicted[i] = (int32_t)scoring_predict(s, i);
        positive[i] = truth[i] == (int32_t)d->positive;
        p[i] = s->probability[(size_t)i * s->labels + d->positive];
    }
    struct evaluation v = {.rows = s->rows, .loss = mean_loss(s, truth), .binary = s->labels == 2};
    class_metrics(&v.all, NULL, predicted, truth, s->rows, s->labels);
    binary_metrics(&v.positive, p, positive, s->rows, d->thresholds[d->positive]);
    v.f1 = v.binary ? v.positive.f1 : v.all.macro_f1;
    free(p);
    free(positive);
    free(predicted);
    free(truth);
    *ret = v;
}

static struct json *to_json(const struct evaluation *v, const struct scoring *s)
{
    const struct decision *d = bundle_decision(s->bundle);
    struct json *o = v->binary ? metrics_to_json(&v->positive) : json_object();
    json_set_number(o, "accuracy", v->all.accuracy);
    json_set_number(o, "f1", v->f1);
    json_set_number(o, "micro_f1", v->all.micro_f1);
    json_set_number(o, "macro_f1", v->all.macro_f1);
    json_set_number(o, "rows", v->rows);
    json_set_number(o, "loss", v->loss);
    json_set_number(o, "temperature", d->temperature);
    if (v->binary) {
        json_set_number(o, "threshold", d->thresholds[d->positive]);
        json_set_text(o, "positive", bundle_labels(s->bundle)->names[d->positive]);
    }
    return o;
}

static void print_for_people(const struct evaluation *v, const struct scoring *s)
{
    const struct decision *d = bundle_decision(s->bundle);
    const struct binary_metrics *m = &v->positive;
    if (!v->binary) {
        printf("%u rows  loss %.4f  accuracy %.4f  micro F1 %.4f  macro F1 %.4f\n", v->rows, v->loss, v->all.accuracy,
               v->all.micro_f1, v->all.macro_f1);
        return;
    }
    const char *name = bundle_labels(s->bundle)->names[d->positive];
    printf("%u rows, %s from probability %.4g on, temperature %.4g\n", v->rows, name, d->thresholds[d->positive], d->temperature);
    printf("  loss %.4f  accuracy %.4f  precision %.4f  recall %.4f  F1 %.4f\n", v->loss, m->accuracy, m->precision, m->recall,
           m->f1);
    printf("  predicted %s: %llu right, %llu wrong; not predicted: %llu right, %llu wrong\n", name,
           (unsigned long long)m->true_positive, (unsigned long long)m->false_positive, (unsigned long long)m->true_negative,
           (unsigned long long)m->false_negative);
}

static void print_result(const struct evaluation *v, const struct scoring *s, bool as_json)
{
    if (!as_json) {
        print_for_people(v, s);
        return;
    }
    struct json *o = to_json(v, s);
    char *text = json_print(o, true);
    printf("%s\n", text);
    free(text);
    json_destroy(&o);
}

int verb_evaluate(const struct arguments *a, struct error *e)
{
    struct scoring s;
    struct scoring_options o = {.device = argument(a, "device")};
    double least = 0;
    if (argument_whole(&o.threads, a, "threads", 0, 4096, e) != 0 ||
        (argument_given(a, "min-f1") && argument_number(&least, a, "min-f1", 0, 100, e) != 0) ||
        scoring_run(&s, a->positional[0], a->positional[1], true, &o, e) != 0)
        return -1;
    struct evaluation v;
    evaluate(&v, &s);
    print_result(&v, &s, argument_given(a, "json"));
    scoring_free(&s);
    if (v.f1 < least)
        return error_set(e, ERROR_GATE, "%s: F1 %.4f on %s is below the gate --min-f1 %g", a->positional[0], v.f1,
                         a->positional[1], least);
    return 0;
}
