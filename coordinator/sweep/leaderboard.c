/* SPDX-License-Identifier: Apache-2.0 */
/* The table of trials. */
#include "coordinator/sweep/leaderboard.h"

#include "common/base/buffer.h"
#include "common/base/memory.h"
#include "common/format/markdown.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A column of its own: the score where the rule is not F1, the macro F1 of more than two labels. */
static bool has_score(const struct decision *d, const struct job *j)
{
    return j->tune.grid.rule != RULE_F1 || isnan(decision_winner(d)->own.threshold) || j->multi;
}

static const char *score_title(const struct job *j, const char *macro, const char *score)
{
    return j->tune.grid.rule == RULE_F1 ? macro : score;
}

static const struct epoch_score *best_epoch(const struct trial_run *t)
{
    return &t->epochs[t->best_epoch - 1];
}

static struct json *row_to_json(const struct trial_run *t, const struct tuned_trial *tuned)
{
    struct json *row = json_object();
    json_set_string(row, "trial", t->key);
    json_set_boolean(row, "baseline", t->baseline);
    json_set(row, "options", json_copy(t->options));
    if (t->state != TRIAL_DONE && t->state != TRIAL_PRUNED) {
        json_set_string(row, "failed", t->why ? t->why : "was not run");
        return row;
    }
    const struct epoch_score *s = best_epoch(t);
    json_set_number(row, "best_epoch", t->best_epoch);
    json_set_number(row, "epochs_done", t->epochs_done);
    json_set_number(row, "validation_loss", s->loss);
    json_set(row, "validation_at_half", metrics_to_json(&s->positive));
    if (t->state == TRIAL_PRUNED) {
        json_set_string(row, "pruned", t->why);
    } else {
        json_set(row, "at_baseline_threshold", at_threshold_to_json(&tuned->at_baseline));
        json_set(row, "at_own_threshold", at_threshold_to_json(&tuned->own));
    }
    json_set_number(row, "steps", (double)t->steps);
    json_set_number(row, "seconds", t->seconds);
    json_set(row, "tokens_per_second", t->seconds > 0 ? json_of_number((double)t->tokens / t->seconds) : json_null());
    return row;
}

struct json *leaderboard_to_json(const struct trials *t, const struct decision *d, const struct job *j)
{
    struct json *table = json_object();
    json_set(table, "rule", threshold_grid_to_json(&j->tune.grid));
    json_set_string(table, "ranked_by", j->tune.per_trial ? "at_own_threshold" : "at_baseline_threshold");
    struct json *rows = json_set(table, "trials", json_array());
    for (size_t i = 0; i < t->count; i++)
        json_append(rows, row_to_json(&t->list[d->order[i]], &d->trials[d->order[i]]));
    return table;
}

/* "0.4500 0.4270 0.8820 0.5760"; dashes where the rule cannot be met. */
static void print_metrics(const struct at_threshold *a)
{
    if (!a->met)
        printf(" %7s %6s %6s %6s", "-", "-", "-", "-");
    else if (isnan(a->threshold))
        printf(" %7s %6.4f %6.4f %6.4f", "-", a->metrics.precision, a->metrics.recall, a->metrics.f1);
    else
        printf(" %7.4f %6.4f %6.4f %6.4f", a->threshold, a->metrics.precision, a->metrics.recall, a->metrics.f1);
}

static void print_score(const struct at_threshold *a, const struct job *j)
{
    if (a->met)
        printf("  %6.4f", j->tune.grid.rule == RULE_F1 ? a->macro_f1 : a->score);
    else
        printf("  %6s", "-");
}

static void add_rule(struct buffer *b, const struct job *j)
{
    const struct threshold_grid *g = &j->tune.grid;
    buffer_printf(b, "rule %s", threshold_rule_names[g->rule]);
    if (g->rule == RULE_F_BETA)
        buffer_printf(b, " (beta %g)", g->beta);
    if (g->rule == RULE_RECALL_AT_PRECISION)
        buffer_printf(b, " (precision at least %g)", g->min_precision);
    if (g->rule == RULE_PRECISION_AT_RECALL)
        buffer_printf(b, " (recall at least %g)", g->min_recall);
    if (g->rule == RULE_COST)
        buffer_printf(b, " (false positive %g, false negative %g)", g->false_positive_cost, g->false_negative_cost);
    buffer_printf(b, ", ranked at %s", j->tune.per_trial ? "each trial's own threshold" : "the baseline's threshold");
}

static void metric_cells(struct markdown_table *m, const struct at_threshold *a)
{
    const double metrics[] = {a->threshold, a->metrics.precision, a->metrics.recall, a->metrics.f1};
    for (size_t i = 0; i < sizeof metrics / sizeof metrics[0]; i++)
        if (a->met && !isnan(metrics[i]))
            markdown_cell(m, "%.4f", metrics[i]);
        else
            markdown_cell(m, "-");
}

static void score_cell(struct markdown_table *m, const struct at_threshold *a, const struct job *j)
{
    if (a->met)
        markdown_cell(m, "%.4f", j->tune.grid.rule == RULE_F1 ? a->macro_f1 : a->score);
    else
        markdown_cell(m, "-");
}

/* Dashes for what a trial that was not tuned has not got. */
static void trial_row(struct markdown_table *m, const struct trial_run *t, const struct tuned_trial *tuned, const struct job *j,
                      bool scored)
{
    static const struct at_threshold none = {0};
    bool done = t->state == TRIAL_DONE;
    markdown_cell(m, "%s%s", t->key, t->baseline ? " (baseline)" : "");
    if (done || t->state == TRIAL_PRUNED) {
        markdown_cell(m, "%u of %u", t->best_epoch, t->epochs_done);
        markdown_cell(m, "%.4f", best_epoch(t)->loss);
    } else {
        markdown_cell(m, "-");
        markdown_cell(m, "-");
    }
    metric_cells(m, done ? &tuned->at_baseline : &none);
    metric_cells(m, done ? &tuned->own : &none);
    if (scored)
        score_cell(m, done ? decision_ranked_by(tuned, j->tune.per_trial) : &none, j);
    if (!done)
        markdown_cell(m, "%s%s", t->state == TRIAL_PRUNED ? "" : "failed: ", t->why ? t->why : "was not run");
    markdown_row_end(m);
}

static bool all_done(const struct trials *t)
{
    for (size_t i = 0; i < t->count; i++)
        if (t->list[i].state != TRIAL_DONE)
            return false;
    return true;
}

char *leaderboard_to_markdown(const struct trials *t, const struct decision *d, const struct job *j)
{
    struct buffer b = {0};
    struct markdown_table *m;
    bool scored = has_score(d, j);
    buffer_printf(&b, "# %s: trials on validation\n\n", j->name);
    add_rule(&b, j);
    buffer_text(&b, ".\n\n");
    char *titles = format_string("trial|best epoch|#loss|#baseline's threshold|#precision|#recall|#F1|#own threshold|#precision|"
                                 "#recall|#F1%s%s",
                                 scored ? score_title(j, "|#macro F1", "|#score") : "", all_done(t) ? "" : "|note");
    markdown_create(&m, titles);
    free(titles);
    for (size_t i = 0; i < t->count; i++)
        trial_row(m, &t->list[d->order[i]], &d->trials[d->order[i]], j, scored);
    markdown_finish(&m, &b);
    return b.data;
}

static int widest_key(const struct trials *t)
{
    size_t width = 12;
    for (size_t i = 0; i < t->count; i++)
        if (strlen(t->list[i].key) > width)
            width = strlen(t->list[i].key);
    return (int)width;
}

static void print_row(const struct trial_run *t, const struct tuned_trial *tuned, const struct job *j, int width, bool scored,
                      bool best)
{
    if (t->state != TRIAL_DONE) {
        printf("  %-*s  %s%s\n", width, t->key, t->state == TRIAL_PRUNED ? "" : "failed: ", t->why ? t->why : "was not run");
        return;
    }
    printf("  %-*s  %2u/%-2u  %6.4f", width, t->key, t->best_epoch, t->epochs_done, best_epoch(t)->loss);
    print_metrics(&tuned->at_baseline);
    printf(" ");
    print_metrics(&tuned->own);
    if (scored)
        print_score(decision_ranked_by(tuned, j->tune.per_trial), j);
    printf("%s%s\n", best ? "  <- best" : "", t->baseline ? "  (baseline)" : "");
}

void leaderboard_print(const struct trials *t, const struct decision *d, const struct job *j)
{
    struct buffer b = {0};
    int width = widest_key(t);
    bool scored = has_score(d, j);
    add_rule(&b, j);
    printf("  %s\n", b.data);
    buffer_free(&b);
    printf("  %-*s  best             baseline's threshold              own threshold\n", width, "");
    printf("  %-*s  epoch    loss     at   prec  recall      F1       at   prec  recall      F1%s\n", width, "trial",
           scored ? score_title(j, "  macro F1", "   score") : "");
    for (size_t i = 0; i < t->count; i++)
        print_row(&t->list[d->order[i]], &d->trials[d->order[i]], j, width, scored, i == 0);
}
