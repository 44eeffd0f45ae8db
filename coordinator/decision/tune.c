/* SPDX-License-Identifier: Apache-2.0 */
/* Thresholds: the search, and how they are shown. */
#include "coordinator/decision/tune.h"

#include "common/base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The grid's best, if any, is what the exact search has to beat. */
static void refine(struct at_threshold *a, const struct threshold_grid *grid, struct validation_scores scores)
{
    struct threshold_point best;
    struct error ignored;
    if (threshold_exact(&best, grid, scores, &ignored) == 0 && best.score > a->score)
        *a = (struct at_threshold){.met = true, .threshold = best.threshold, .score = best.score, .metrics = best.metrics};
}

const char *tune_unsupported(const struct binary_metrics *m, double score)
{
    if (m->true_positive + m->false_negative == 0)
        return "no positive row in validation";
    if (m->true_negative + m->false_positive == 0)
        return "no negative row in validation";
    return score > 0 ? NULL : "no threshold scores above 0 in validation";
}

int tune_sweep(struct at_threshold *own, struct threshold_curve *curve, const struct threshold_grid *grid,
               struct validation_scores scores, struct error *e)
{
    struct threshold_curve c = {.points = allocate((size_t)grid->points, sizeof *c.points), .count = grid->points, .best = -1};
    struct at_threshold a = {0};
    struct error local = {0};
    if (threshold_sweep(c.points, &c.best, grid, scores, &local) == 0) {
        const struct threshold_point *best = &c.points[c.best];
        a = (struct at_threshold){.met = true, .threshold = best->threshold, .score = best->score, .metrics = best->metrics};
    } else if (local.kind == ERROR_FAILED) {
        c.best = -1;
        snprintf(a.why, sizeof a.why, "%.255s", local.message);
    } else {
        free(c.points);
        if (e)
            *e = local;
        return -1;
    }
    if (grid->exact)
        refine(&a, grid, scores);
    const char *neutral = a.met ? tune_unsupported(&a.metrics, a.score) : NULL;
    if (neutral) {
        tune_apply(&a, grid, scores, 0.5);
        a.neutral = neutral;
        c.best = -1;
    }
    *own = a;
    *curve = c;
    return 0;
}

static void say_unmet(struct at_threshold *a, const struct threshold_grid *grid)
{
    bool precision = grid->rule == RULE_RECALL_AT_PRECISION;
    if (!a->met)
        snprintf(a->why, sizeof a->why, "%s %.4f at threshold %.4g is below tune.min_%s %.4g", precision ? "precision" : "recall",
                 precision ? a->metrics.precision : a->metrics.recall, a->threshold, precision ? "precision" : "recall",
                 precision ? grid->min_precision : grid->min_recall);
}

void tune_apply(struct at_threshold *ret, const struct threshold_grid *grid, struct validation_scores scores, double threshold)
{
    struct at_threshold a = {.threshold = threshold};
    binary_metrics(&a.metrics, scores.probability, scores.truth, scores.count, threshold);
    a.score = threshold_score(grid, &a.metrics);
    a.met = a.score >= 0;
    say_unmet(&a, grid);
    *ret = a;
}

void threshold_curve_free(struct threshold_curve *c)
{
    free(c->points);
    memset(c, 0, sizeof *c);
}

/* A finer grid than a screen has lines is thinned out; the best one is always there. */
void tune_print_curve(const struct threshold_grid *grid, const struct threshold_curve *c)
{
    int every = (c->count + 39) / 40;
    bool own_score = grid->rule != RULE_F1;
    printf("  threshold  precision  recall      F1%s\n", own_score ? "   score" : "");
    for (int i = 0; i < c->count; i++) {
        const struct threshold_point *p = &c->points[i];
        if (i % every != 0 && i != c->best)
            continue;
        printf("  %9.4f  %9.4f  %6.4f  %6.4f", p->threshold, p->metrics.precision, p->metrics.recall, p->metrics.f1);
        if (own_score && p->score >= 0)
            printf("  %6.4f", p->score);
        else if (own_score)
            printf("       -");
        printf("%s\n", i == c->best ? "  <- best" : "");
    }
}

struct json *metrics_to_json(const struct binary_metrics *m)
{
    struct json *o = json_object();
    json_set_number(o, "accuracy", m->accuracy);
    json_set_number(o, "precision", m->precision);
    json_set_number(o, "recall", m->recall);
    json_set_number(o, "f1", m->f1);
    json_set_number(o, "true_positive", (double)m->true_positive);
    json_set_number(o, "false_positive", (double)m->false_positive);
    json_set_number(o, "true_negative", (double)m->true_negative);
    json_set_number(o, "false_negative", (double)m->false_negative);
    return o;
}

void averages_to_json(struct json *to, const struct averaged_metrics *m)
{
    json_set_number(to, "micro_precision", m->micro_precision);
    json_set_number(to, "micro_recall", m->micro_recall);
    json_set_number(to, "micro_f1", m->micro_f1);
    json_set_number(to, "macro_precision", m->macro_precision);
    json_set_number(to, "macro_recall", m->macro_recall);
    json_set_number(to, "macro_f1", m->macro_f1);
    json_set_number(to, "weighted_f1", m->weighted_f1);
}

struct json *at_threshold_to_json(const struct at_threshold *a)
{
    struct json *o = json_object();
    json_set(o, "threshold", a->met || a->threshold > 0 ? json_of_number(a->threshold) : json_null());
    if (a->met && a->neutral)
        json_set_string(o, "why", a->neutral);
    if (a->macro_f1 > 0)
        json_set_number(o, "macro_f1", a->macro_f1);
    json_set(o, "score", a->met ? json_of_number(a->score) : json_null());
    if (a->met)
        json_set(o, "metrics", metrics_to_json(&a->metrics));
    else
        json_set_string(o, "why", a->why);
    return o;
}

struct json *threshold_curve_to_json(const struct threshold_curve *c)
{
    struct json *list = json_array();
    for (int i = 0; i < c->count; i++) {
        const struct threshold_point *p = &c->points[i];
        struct json *point = json_append(list, json_object());
        json_set_number(point, "threshold", p->threshold);
        json_set_number(point, "precision", p->metrics.precision);
        json_set_number(point, "recall", p->metrics.recall);
        json_set_number(point, "f1", p->metrics.f1);
        json_set(point, "score", p->score >= 0 ? json_of_number(p->score) : json_null());
    }
    return list;
}

struct json *threshold_grid_to_json(const struct threshold_grid *g)
{
    struct json *o = json_object();
    json_set_string(o, "rule", threshold_rule_names[g->rule]);
    json_set_number(o, "from", g->from);
    json_set_number(o, "to", g->to);
    json_set_number(o, "points", g->points);
    if (g->rule == RULE_F_BETA)
        json_set_number(o, "beta", g->beta);
    if (g->rule == RULE_RECALL_AT_PRECISION)
        json_set_number(o, "min_precision", g->min_precision);
    if (g->rule == RULE_PRECISION_AT_RECALL)
        json_set_number(o, "min_recall", g->min_recall);
    if (g->rule == RULE_COST) {
        json_set_number(o, "false_positive_cost", g->false_positive_cost);
        json_set_number(o, "false_negative_cost", g->false_negative_cost);
    }
    json_set_string(o, "kind", g->exact ? "exact" : "grid");
    if (g->middle)
        json_set_string(o, "ties", "middle");
    return o;
}
