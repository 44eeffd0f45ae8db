/* SPDX-License-Identifier: Apache-2.0 */
/* The table of configurations. */
#include "coordinator/sweep/configurations.h"

#include "common/base/buffer.h"
#include "common/base/memory.h"
#include "common/format/markdown.h"
#include "common/score/spread.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool configurations_repeated(const struct job *j)
{
    return j->train.seeds.count > 0 || j->split.folds > 0;
}

/* ---- the metrics of a trial ---- */

static const char *const metric_names[REPEATED_METRICS] = {"score",  "selected", "validation_loss", "precision",
                                                           "recall", "f1",       "macro_f1"};

/* NaN: the trial has none. */
static void metrics_of(double ret[REPEATED_METRICS], const struct trial_run *t, const struct tuned_trial *tuned,
                       const struct job *j)
{
    for (int m = 0; m < REPEATED_METRICS; m++)
        ret[m] = NAN;
    if (t->state != TRIAL_DONE)
        return;
    const struct epoch_score *s = &t->epochs[t->best_epoch - 1];
    const struct at_threshold *a = decision_ranked_by(tuned, j->tune.per_trial);
    bool binary = !j->multi && !isnan(a->threshold);
    ret[REPEATED_LOSS] = s->loss;
    ret[REPEATED_SELECTED] = epoch_metric(s, t->job.train.select);
    if (!a->met)
        return;
    ret[REPEATED_SCORE] = a->score;
    ret[REPEATED_PRECISION] = a->metrics.precision;
    ret[REPEATED_RECALL] = a->metrics.recall;
    ret[REPEATED_F1] = a->metrics.f1;
    ret[REPEATED_MACRO_F1] = binary ? NAN : a->macro_f1;
}

/* ---- a configuration ---- */

struct configuration {
    const struct trial_run *best;     /* by its own score: the first in the order of the decision */
    const struct trial_run **members; /* (member_count): the trials of its seeds, in the order of the plan */
    size_t member_count;
    size_t trials, done;              /* members, with split.folds their folds */
    double *values[REPEATED_METRICS]; /* (trials), likewise */
    struct spread spread[REPEATED_METRICS];
};

static void add_values(struct configuration *c, const double metrics[REPEATED_METRICS])
{
    for (int m = 0; m < REPEATED_METRICS; m++)
        c->values[m][c->trials] = metrics[m];
    c->trials++;
}

/* Of a cross-validated trial. */
static void add_fold_values(struct configuration *c, const struct trial_run *t, uint32_t folds)
{
    double none[REPEATED_METRICS];
    for (int m = 0; m < REPEATED_METRICS; m++)
        none[m] = NAN;
    for (size_t f = 0; f < folds; f++)
        add_values(c, t->fold_metrics ? t->fold_metrics + f * REPEATED_METRICS : none);
}

/* Of the trials with other seeds, and of the folds. */
static void read_configuration(struct configuration *ret, const struct trials *t, const struct decision *d, size_t best,
                               const struct job *j)
{
    struct configuration c = {.best = &t->list[best], .members = allocate(t->count, sizeof *c.members)};
    uint32_t folds = j->split.folds, each = folds > 0 ? folds : 1;
    for (int m = 0; m < REPEATED_METRICS; m++)
        c.values[m] = allocate(t->count * each, sizeof(double));
    for (size_t i = 0; i < t->count; i++) {
        double metrics[REPEATED_METRICS];
        if (t->list[i].configuration != c.best->configuration)
            continue;
        c.members[c.member_count++] = &t->list[i];
        c.done += t->list[i].state == TRIAL_DONE ? each : 0;
        metrics_of(metrics, &t->list[i], &d->trials[i], j);
        if (folds > 0)
            add_fold_values(&c, &t->list[i], folds);
        else
            add_values(&c, metrics);
    }
    for (int m = 0; m < REPEATED_METRICS; m++)
        spread_of(&c.spread[m], c.values[m], c.trials);
    *ret = c;
}

static void configuration_free(struct configuration *c)
{
    for (int m = 0; m < REPEATED_METRICS; m++)
        free(c->values[m]);
    free(c->members);
}

/* Calls `each` for every configuration, best first. */
static void walk(const struct trials *t, const struct decision *d, const struct job *j,
                 void (*each)(void *to, const struct configuration *c, const struct job *j), void *to)
{
    bool *seen = allocate(t->count, sizeof *seen);
    for (size_t i = 0; i < t->count; i++) {
        struct configuration c;
        size_t trial = d->order[i];
        if (seen[t->list[trial].configuration])
            continue;
        seen[t->list[trial].configuration] = true;
        read_configuration(&c, t, d, trial, j);
        each(to, &c, j);
        configuration_free(&c);
    }
    free(seen);
}

/* ---- JSON ---- */

static struct json *spread_to_json(const struct spread *s, const double *values, size_t count)
{
    struct json *o = json_object(), *list = json_array();
    json_set(o, "mean", json_of_number(s->mean));
    json_set(o, "sd", json_of_number(s->sd));
    json_set(o, "min", json_of_number(s->least));
    json_set(o, "max", json_of_number(s->most));
    for (size_t i = 0; i < count; i++)
        json_append(list, json_of_number(values[i]));
    json_set(o, "values", list);
    return o;
}

static void add_seeds(struct json *o, const struct job *j)
{
    struct json *seeds = json_set(o, "seeds", json_array());
    for (size_t i = 0; i < j->train.seeds.count; i++)
        json_append(seeds, json_of_number((double)j->train.seeds.values[i]));
}

static void add_folds(struct json *o, const struct configuration *c, const struct job *j)
{
    struct json *trials = json_set(o, "fold_trials", json_array());
    for (size_t i = 0; i < c->member_count; i++)
        for (uint32_t f = 0; f < j->split.folds; f++) {
            char *key = format_string("%s_fold-%u", c->members[i]->key, f + 1);
            json_append(trials, json_of_string(key));
            free(key);
        }
}

static void append_configuration(void *to, const struct configuration *c, const struct job *j)
{
    struct json *o = json_append(to, json_object()), *metrics = json_object();
    json_set_string(o, "configuration", c->best->configuration_key);
    json_set_boolean(o, "baseline", c->best->baseline);
    if (j->train.seeds.count > 0)
        add_seeds(o, j);
    if (j->split.folds > 0)
        add_folds(o, c, j);
    json_set_string(o, "best_trial", c->done > 0 ? c->best->key : NULL);
    if (j->split.folds > 0)
        json_set_number(o, "best_epoch", c->best->best_epoch);
    json_set_number(o, "done", (double)c->done);
    json_set_string(o, "select", c->best->job.train.select);
    for (int m = 0; m < REPEATED_METRICS; m++)
        if (c->spread[m].count > 0)
            json_set(metrics, metric_names[m], spread_to_json(&c->spread[m], c->values[m], c->trials));
    json_set(o, "metrics", metrics);
}

struct json *configurations_to_json(const struct trials *t, const struct decision *d, const struct job *j)
{
    struct json *list = json_array();
    if (configurations_repeated(j))
        walk(t, d, j, append_configuration, list);
    return list;
}

/* ---- for people ---- */

/* Columns: the loss, precision, recall and F1, and what ranks where that is not the F1. */
struct columns {
    int metric[REPEATED_METRICS], count, width;
    const char *title[REPEATED_METRICS];
    struct markdown_table *markdown; /* NULL: the screen */
};

static void add_column(struct columns *c, int metric, const char *title)
{
    c->metric[c->count] = metric;
    c->title[c->count++] = title;
}

static void choose_columns(struct columns *c, const struct decision *d, const struct job *j)
{
    bool f1 = j->tune.grid.rule == RULE_F1, binary = !j->multi && !isnan(decision_winner(d)->own.threshold);
    *c = (struct columns){.width = 0};
    add_column(c, REPEATED_LOSS, "loss");
    add_column(c, REPEATED_PRECISION, "precision");
    add_column(c, REPEATED_RECALL, "recall");
    add_column(c, REPEATED_F1, binary ? "F1" : "micro F1");
    if (!binary)
        add_column(c, REPEATED_MACRO_F1, "macro F1");
    if (!f1)
        add_column(c, REPEATED_SCORE, "score");
}

static void spread_text(char text[48], const struct spread *s, const char *plus_minus)
{
    if (s->count == 0)
        snprintf(text, 48, "-");
    else if (isnan(s->sd))
        snprintf(text, 48, "%.4f", s->mean);
    else
        snprintf(text, 48, "%.4f %s %.4f", s->mean, plus_minus, s->sd);
}

static void range_text(char text[48], const struct spread *s)
{
    if (s->count == 0)
        snprintf(text, 48, "-");
    else
        snprintf(text, 48, "%.4f to %.4f", s->least, s->most);
}

static void add_markdown_row(void *to, const struct configuration *c, const struct job *j)
{
    struct columns *columns = to;
    char text[48];
    markdown_cell(columns->markdown, "%s%s", c->best->configuration_key, c->best->baseline ? " (baseline)" : "");
    markdown_cell(columns->markdown, "%zu of %zu", c->done, c->trials);
    for (int i = 0; i < columns->count; i++) {
        spread_text(text, &c->spread[columns->metric[i]], "±");
        markdown_cell(columns->markdown, "%s", text);
    }
    range_text(text, &c->spread[REPEATED_SCORE]);
    markdown_cell(columns->markdown, "%s", text);
    if (j->train.seeds.count == 0)
        markdown_cell(columns->markdown, "%u", c->best->best_epoch);
    else
        markdown_cell(columns->markdown, "%s", c->done > 0 ? c->best->key : "-");
    markdown_row_end(columns->markdown);
}

static const char *range_title(const struct job *j, const struct columns *c)
{
    return j->tune.grid.rule == RULE_F1 ? c->title[c->count - 1] : "score";
}

/* "3 seeds", "5 folds", "5 folds with 3 seeds each" */
static char *repeats(const struct job *j)
{
    size_t folds = j->split.folds, seeds = j->train.seeds.count;
    char *of_seeds = format_string("%zu seed%s", seeds, seeds == 1 ? "" : "s");
    if (folds == 0)
        return of_seeds;
    char *ret =
        format_string("%zu folds%s%s%s", folds, seeds > 0 ? " with " : "", seeds > 0 ? of_seeds : "", seeds > 0 ? " each" : "");
    free(of_seeds);
    return ret;
}

/* How a configuration is chosen. Caller frees. */
static char *choice(const struct job *j, const struct columns *c)
{
    if (j->split.folds > 0)
        return duplicate(
            j->train.seeds.count > 0
                ? "thresholds and epoch of a seed are chosen on its out-of-fold predictions of all rows together, a "
                  "configuration by the mean of these over its seeds"
                : "thresholds, epoch and configuration are chosen on the out-of-fold predictions of all rows together");
    return format_string("a configuration is chosen by its mean %s, and its best trial is published", range_title(j, c));
}

char *configurations_to_markdown(const struct trials *t, const struct decision *d, const struct job *j)
{
    struct buffer b = {0}, titles = {0};
    struct columns c;
    if (!configurations_repeated(j))
        return NULL;
    choose_columns(&c, d, j);
    char *over = repeats(j), *chosen = choice(j, &c);
    buffer_printf(&b, "## Configurations: validation metrics over %s\n\nMean ± standard deviation of the sample; %s.\n\n", over,
                  chosen);
    free(chosen);
    free(over);
    buffer_printf(&titles, "configuration|%s", j->split.folds > 0 ? "folds" : "trials");
    for (int i = 0; i < c.count; i++)
        buffer_printf(&titles, "|#%s", c.title[i]);
    buffer_printf(&titles, "|#%s, least to most|%s", range_title(j, &c), j->train.seeds.count == 0 ? "#epochs" : "best trial");
    markdown_create(&c.markdown, titles.data);
    buffer_free(&titles);
    walk(t, d, j, add_markdown_row, &c);
    markdown_finish(&c.markdown, &b);
    return b.data;
}

static void print_row(void *to, const struct configuration *c, const struct job *j)
{
    const struct columns *columns = to;
    char text[48];
    (void)j;
    printf("  %-*s  %zu/%zu ", columns->width, c->best->configuration_key, c->done, c->trials);
    for (int i = 0; i < columns->count; i++) {
        spread_text(text, &c->spread[columns->metric[i]], "+/-");
        printf("  %-17s", text);
    }
    range_text(text, &c->spread[REPEATED_SCORE]);
    printf("  %s%s\n", text, c->best->baseline ? "  (baseline)" : "");
}

void configurations_print(const struct trials *t, const struct decision *d, const struct job *j)
{
    struct columns c;
    if (!configurations_repeated(j))
        return;
    choose_columns(&c, d, j);
    c.width = (int)strlen("configuration");
    for (size_t i = 0; i < t->count; i++) {
        int width = (int)strlen(t->list[i].configuration_key);
        c.width = width > c.width ? width : c.width;
    }
    char *over = repeats(j), *chosen = choice(j, &c);
    printf("  mean +/- standard deviation over %s; %s\n", over, chosen);
    free(chosen);
    free(over);
    printf("  %-*s  done", c.width, "configuration");
    for (int i = 0; i < c.count; i++)
        printf("  %-17s", c.title[i]);
    printf("  %s, least to most\n", range_title(j, &c));
    walk(t, d, j, print_row, &c);
}
