/* SPDX-License-Identifier: Apache-2.0 */
/* Thresholds of many labels a row. */
#include "common/base/memory.h"
#include "common/score/labels.h"
#include "coordinator/decision/tune.h"

#include <stdlib.h>
#include <string.h>

/* The column of one label as a search of its own. */
static void column(double *p, int32_t *truth, struct validation_labels v, size_t l)
{
    for (size_t i = 0; i < v.rows; i++) {
        p[i] = v.probability[i * v.labels + l];
        truth[i] = v.truth[i * v.labels + l];
    }
}

/* All probabilities that occur; a score that the grid reaches too keeps the grid's threshold. */
static void refine(struct threshold_point *best, const struct threshold_grid *grid, struct validation_scores scores)
{
    struct threshold_point exact;
    struct error ignored;
    if (threshold_exact(&exact, grid, scores, &ignored) == 0 && exact.score > best->score)
        *best = exact;
}

static struct threshold_point chosen(const struct threshold_point *points, const struct threshold_grid *grid)
{
    int best = threshold_best(points, grid);
    return best < 0 ? (struct threshold_point){.threshold = 0.5} : points[best];
}

static double choose_global(struct label_thresholds *t, const struct threshold_grid *grid, struct validation_labels v)
{
    const struct threshold_point *points = t->points + (size_t)t->labels * (size_t)grid->points;
    struct threshold_point best = chosen(points, grid);
    if (grid->exact) {
        int32_t *truth = allocate(v.rows, v.labels * sizeof *truth);
        for (size_t i = 0; i < v.rows * v.labels; i++)
            truth[i] = v.truth[i];
        refine(&best, grid, (struct validation_scores){v.probability, truth, v.rows * v.labels});
        free(truth);
    }
    t->why = tune_unsupported(&points->metrics, best.score);
    return t->why ? 0.5 : best.threshold;
}

static const char *why_global(const struct label_options *o, const struct label_choice *c, const struct threshold_point *best)
{
    if (o->per_class == PER_CLASS_FALSE)
        return "one threshold for all was asked for";
    const char *unsupported = tune_unsupported(&best->metrics, best->score);
    if (unsupported || o->per_class == PER_CLASS_TRUE)
        return unsupported;
    if (c->positives < o->min_positives)
        return "fewer positive rows than tune.min_positives";
    return NULL;
}

static void choose_own(struct label_thresholds *t, const struct label_options *o, struct validation_labels v)
{
    const struct threshold_grid *grid = o->grid;
    double *p = allocate(v.rows, sizeof *p);
    int32_t *truth = allocate(v.rows, sizeof *truth);
    for (uint32_t l = 0; l < t->labels; l++) {
        struct label_choice *c = &t->each[l];
        const struct threshold_point *points = t->points + (size_t)l * (size_t)grid->points;
        struct threshold_point best = chosen(points, grid);
        c->positives = points[0].metrics.true_positive + points[0].metrics.false_negative;
        best.metrics = best.score > 0 ? best.metrics : points[0].metrics;
        if (grid->exact && !why_global(o, c, &(struct threshold_point){.metrics = points[0].metrics, .score = 1})) {
            column(p, truth, v, l);
            refine(&best, grid, (struct validation_scores){p, truth, v.rows});
        }
        c->why = why_global(o, c, &best);
        c->own = !c->why;
        c->neutral = c->why && o->per_class == PER_CLASS_TRUE;
        t->thresholds[l] = c->threshold = c->own ? best.threshold : c->neutral ? 0.5 : t->global;
    }
    free(truth);
    free(p);
}

void label_thresholds_measure(struct label_thresholds *t, struct validation_labels v)
{
    double *same = allocate(t->labels, sizeof *same);
    struct binary_metrics *at[3];
    for (int k = 0; k < 3; k++) {
        struct averaged_metrics ignored;
        at[k] = allocate(t->labels, sizeof *at[k]);
        for (uint32_t l = 0; l < t->labels; l++)
            same[l] = k == 0 ? 0.5 : t->global;
        label_metrics(&ignored, at[k], NULL, v.probability, v.truth, k == 2 ? t->thresholds : same, v.rows, v.labels);
    }
    for (uint32_t l = 0; l < t->labels; l++) {
        t->each[l].at_0_5 = at[0][l];
        t->each[l].at_global = at[1][l];
        t->each[l].at_threshold = at[2][l];
    }
    for (int k = 0; k < 3; k++)
        free(at[k]);
    free(same);
}

int tune_labels_fit(struct label_thresholds *ret, const struct label_options *o, struct validation_labels v, struct error *e)
{
    struct label_thresholds t = {.labels = (uint32_t)v.labels};
    t.points = allocate((v.labels + 1) * (size_t)o->grid->points, sizeof *t.points);
    if (threshold_sweep_labels(t.points, o->grid, v, e) != 0) {
        free(t.points);
        return -1;
    }
    t.thresholds = allocate(v.labels, sizeof *t.thresholds);
    t.each = allocate(v.labels, sizeof *t.each);
    t.global = choose_global(&t, o->grid, v);
    choose_own(&t, o, v);
    *ret = t;
    return 0;
}

struct label_options label_options_of(const struct job *j)
{
    return (struct label_options){.grid = &j->tune.grid,
                                  .per_class = j->tune.per_class,
                                  .min_positives = j->tune.min_positives,
                                  .macro = strcmp(j->train.select, "macro_f1") == 0};
}

void tune_labels_apply(struct at_threshold *ret, const struct threshold_grid *grid, struct validation_labels v,
                       const double *thresholds, double global)
{
    struct at_threshold a = {.met = true, .threshold = global};
    struct averaged_metrics all;
    label_metrics(&all, NULL, &a.metrics, v.probability, v.truth, thresholds, v.rows, v.labels);
    a.macro_f1 = all.macro_f1;
    a.score = threshold_score(grid, &a.metrics);
    if (a.score < 0) /* labels that cannot meet the condition are named one by one */
        a.score = 0;
    *ret = a;
}

void label_thresholds_trim(struct label_thresholds *t)
{
    free(t->points);
    t->points = NULL;
}

void label_thresholds_free(struct label_thresholds *t)
{
    free(t->points);
    free(t->thresholds);
    free(t->each);
    memset(t, 0, sizeof *t);
}

static double f1_of(const struct threshold_point *p)
{
    return p->metrics.f1;
}

static double precision_of(const struct threshold_point *p)
{
    return p->metrics.precision;
}

static double recall_of(const struct threshold_point *p)
{
    return p->metrics.recall;
}

static double threshold_of(const struct threshold_point *p)
{
    return p->threshold;
}

static void add_series(struct json *to, const char *name, const struct threshold_point *points, int count,
                       double (*value)(const struct threshold_point *p))
{
    struct json *list = json_set(to, name, json_array());
    for (int i = 0; i < count; i++)
        json_append(list, json_of_number(value(&points[i])));
}

static struct json *curve_to_json(const struct threshold_point *points, int count)
{
    struct json *o = json_object();
    add_series(o, "f1", points, count, f1_of);
    add_series(o, "precision", points, count, precision_of);
    add_series(o, "recall", points, count, recall_of);
    return o;
}

static struct json *choice_to_json(const struct label_choice *c, const char *name)
{
    struct json *o = json_object();
    json_set_string(o, "label", name);
    json_set_number(o, "positives", (double)c->positives);
    json_set_number(o, "threshold", c->threshold);
    json_set_string(o, "source", c->own ? "own" : c->neutral ? "neutral" : "global");
    json_set_string(o, "why", c->why);
    json_set(o, "at_half", metrics_to_json(&c->at_0_5));
    json_set(o, "at_global", metrics_to_json(&c->at_global));
    json_set(o, "at_threshold", metrics_to_json(&c->at_threshold));
    return o;
}

char *label_cross_summary(const struct label_cross *c, const struct threshold_grid *grid)
{
    static const char *const names[] = {[RULE_F1] = "F1", [RULE_F_BETA] = "F-beta", [RULE_COST] = "cost score"};
    const char *average = c->macro ? "macro" : "micro";
    return c->folds == 0 ? NULL
                         : format_string("cross-validated %s %s %.4f with thresholds by label, %.4f with one for all", average,
                                         names[grid->rule], c->by_label, c->global);
}

static struct json *cross_to_json(const struct label_cross *c, const struct threshold_grid *grid)
{
    struct json *o = json_object();
    char *summary = label_cross_summary(c, grid);
    json_set_string(o, "average", c->macro ? "macro" : "micro");
    json_set_number(o, "folds", c->folds);
    json_set_number(o, "repeats", c->repeats);
    json_set_number(o, "by_label", c->by_label);
    json_set_number(o, "global", c->global);
    json_set_boolean(o, "better", c->better);
    json_set_string(o, "why", summary);
    free(summary);
    return o;
}

struct json *label_thresholds_to_json(const struct label_thresholds *t, const struct threshold_grid *grid,
                                      const char *const *names)
{
    struct json *o = json_object();
    json_set_number(o, "global", t->global);
    if (t->why)
        json_set_string(o, "why", t->why);
    if (t->cross.folds > 0)
        json_set(o, "cross_validation", cross_to_json(&t->cross, grid));
    if (t->points) {
        const struct threshold_point *all = t->points + (size_t)t->labels * (size_t)grid->points;
        add_series(o, "grid", all, grid->points, threshold_of);
        json_set(o, "all", curve_to_json(all, grid->points));
    }
    struct json *list = json_set(o, "labels", json_array());
    for (uint32_t l = 0; l < t->labels; l++) {
        struct json *label = json_append(list, choice_to_json(&t->each[l], names[l]));
        if (t->points)
            json_set(label, "curve", curve_to_json(t->points + (size_t)l * (size_t)grid->points, grid->points));
    }
    return o;
}
