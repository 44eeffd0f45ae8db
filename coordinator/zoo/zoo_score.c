/* SPDX-License-Identifier: Apache-2.0 */
/* Scores of a part. */
#include "coordinator/zoo/zoo_score.h"

#include "common/base/memory.h"
#include "common/score/calibration.h"
#include "common/score/labels.h"
#include "common/score/ranking.h"

#include <math.h>
#include <stdlib.h>

#define SEED 42 /* of the draws */

/* ---- pieces ---- */

/* (rows, columns), as truth_columns has them. Caller frees. */
static double *probabilities_of(const struct truth *t, const struct zoo_model *m, uint32_t columns)
{
    double *p = allocate((size_t)t->rows * t->labels, sizeof *p);
    if (t->kind == DECISION_LABELS)
        label_probabilities(p, m->logits, t->rows, t->labels, m->temperatures);
    else if (t->kind == DECISION_BINARY)
        probabilities_of_class(p, m->logits, t->rows, t->labels, t->positive, m->temperatures);
    else
        for (size_t i = 0; i < t->rows; i++)
            softmax(p + i * columns, m->logits + i * columns, columns, m->temperatures);
    return p;
}

static double ratio(double part, double whole)
{
    return whole > 0 ? part / whole : 0;
}

struct by_row {
    double precision, recall; /* means over rows */
    double truth, predicted;  /* labels, mean of a row */
    double any;               /* share of rows with a predicted label */
};

static void count_rows(struct by_row *ret, const uint8_t *truth, const uint8_t *decided, size_t rows, size_t columns)
{
    struct by_row sum = {0};
    for (size_t i = 0; i < rows; i++) {
        double there = 0, said = 0, both = 0;
        for (size_t l = i * columns; l < (i + 1) * columns; l++) {
            there += truth[l] > 0;
            said += decided[l] > 0;
            both += truth[l] > 0 && decided[l] > 0;
        }
        sum.precision += ratio(both, said);
        sum.recall += ratio(both, there);
        sum.truth += there;
        sum.predicted += said;
        sum.any += said > 0;
    }
    double n = (double)rows;
    *ret = (struct by_row){ratio(sum.precision, n), ratio(sum.recall, n), ratio(sum.truth, n), ratio(sum.predicted, n),
                           ratio(sum.any, n)};
}

static void add_three(struct json *to, const char *name, double f1, double precision, double recall)
{
    const char *const ends[] = {"f1", "precision", "recall"};
    const double values[] = {f1, precision, recall};
    for (int i = 0; i < 3; i++) {
        char *key = format_string("%s_%s", name, ends[i]);
        json_set_number(to, key, values[i]);
        free(key);
    }
}

static void add_metrics(struct json *to, const struct metrics *f, enum decision_kind kind, const struct by_row *rows)
{
    const struct binary_metrics *p = &f->pooled;
    add_three(to, "micro", p->f1, p->precision, p->recall);
    if (kind == DECISION_BINARY)
        add_three(to, "macro", p->f1, p->precision, p->recall);
    else
        add_three(to, "macro", f->all.macro_f1, f->all.macro_precision, f->all.macro_recall);
    if (kind == DECISION_LABELS)
        add_three(to, "rows", ratio(2 * rows->precision * rows->recall, rows->precision + rows->recall), rows->precision,
                  rows->recall);
    json_set_number(to, "subset_accuracy", kind == DECISION_BINARY ? p->accuracy : f->all.accuracy);
    json_set_number(to, "loss", f->loss);
}

/* Of two labels it would be the positive one's again. */
static void add_each_label(struct json *to, const struct metrics *f, enum decision_kind kind)
{
    struct json *list = kind == DECISION_BINARY ? NULL : json_set(to, "label_f1", json_array());
    for (uint32_t c = 0; list && c < f->labels; c++)
        json_append(list, json_of_number(f->each[c].f1));
}

static void add_ranking(struct json *to, const double *p, const uint8_t *truth, size_t rows, size_t columns)
{
    struct ranking r;
    ranking_metrics(&r, p, truth, rows, columns);
    json_set_number(to, "map", r.macro_average_precision);
}

static void add_calibration(struct json *to, const struct truth *t, const struct zoo_model *m)
{
    struct reliability r;
    struct error ignored;
    const struct validation_outputs v = {m->logits, t->class, t->targets, t->rows, t->labels};
    if (calibration_measure(&r, v, t->positive, m->temperatures, &ignored) == 0)
        json_set_number(to, "ece", r.ece);
}

static void add_interval(struct json *to, const char *key, struct interval i)
{
    struct json *list = json_set(to, key, json_array());
    json_append(list, json_of_number(i.low));
    json_append(list, json_of_number(i.high));
}

static void add_sanity(struct json *to, const struct by_row *rows, const double *p, size_t count)
{
    double least = INFINITY, most = -INFINITY, sum = 0;
    struct json *o = json_set(to, "sanity", json_object());
    for (size_t i = 0; i < count; i++) {
        least = fmin(least, p[i]);
        most = fmax(most, p[i]);
        sum += p[i];
    }
    json_set_number(o, "true_labels", rows->truth);
    json_set_number(o, "predicted_labels", rows->predicted);
    json_set_number(o, "share_with_any", rows->any);
    json_set_number(o, "probability_min", least);
    json_set_number(o, "probability_mean", ratio(sum, (double)count));
    json_set_number(o, "probability_max", most);
}

/* ---- a part ---- */

struct json *zoo_score(double *draws, const struct zoo_model *m)
{
    const struct truth *t = m->truth;
    uint32_t columns;
    struct metrics f;
    struct by_row rows;
    struct json *o = json_object();
    metrics_make(&f, t, m->logits, m->temperatures, m->thresholds);
    uint8_t *all = decisions_make(t, m->logits, m->temperatures, m->thresholds), *decided = truth_columns(&columns, t, all),
            *truth = truth_columns(&columns, t, NULL);
    double *p = probabilities_of(t, m, columns);
    count_rows(&rows, truth, decided, t->rows, columns);
    json_set_number(o, "rows", t->rows);
    add_metrics(o, &f, t->kind, &rows);
    add_each_label(o, &f, t->kind);
    add_ranking(o, p, truth, t->rows, columns);
    add_calibration(o, t, m);
    const uint8_t *rules[] = {decided};
    bootstrap_draw(&draws, rules, 1, ZOO_DRAWS, truth, t->rows, columns, t->kind == DECISION_CLASS, SEED);
    struct json *intervals = json_set(o, "intervals", json_object());
    for (int k = 0; k < BOOTSTRAP_METRICS; k++)
        add_interval(intervals, k == BOOTSTRAP_ACCURACY ? "subset_accuracy" : bootstrap_metric_names[k],
                     bootstrap_interval(draws, NULL, ZOO_DRAWS, (enum bootstrap_metric)k));
    add_sanity(o, &rows, p, (size_t)t->rows * columns);
    free(p);
    free(truth);
    free(decided);
    free(all);
    metrics_free(&f);
    return o;
}

/* ---- against another model ---- */

enum bootstrap_metric zoo_headline(bool most_probable)
{
    return most_probable ? BOOTSTRAP_MACRO_F1 : BOOTSTRAP_MICRO_F1;
}

void zoo_compare(struct json *part, const struct json *other, const double *draws, const double *other_draws,
                 enum bootstrap_metric metric)
{
    const char *name = bootstrap_metric_names[metric];
    size_t below = 1, above = 1; /* ties count on both sides */
    for (size_t d = 0; d < ZOO_DRAWS; d++) {
        double difference = draws[d * BOOTSTRAP_METRICS + metric] - other_draws[d * BOOTSTRAP_METRICS + metric];
        below += difference <= 0;
        above += difference >= 0;
    }
    json_set_number(part, "difference", json_number(json_get(part, name)) - json_number(json_get(other, name)));
    add_interval(part, "difference_interval", bootstrap_interval(draws, other_draws, ZOO_DRAWS, metric));
    json_set_number(part, "p", fmin(1, 2.0 * (double)(below < above ? below : above) / (ZOO_DRAWS + 1)));
}
