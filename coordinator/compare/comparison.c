/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the comparison at the end of a run. */
#include "coordinator/compare/comparison.h"

#include "common/base/buffer.h"
#include "common/base/file.h"
#include "common/base/memory.h"
#include "coordinator/compare/automatable.h"
#include "coordinator/compare/baseline.h"
#include "coordinator/compare/ensemble.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODELS 3
#define TITLE "## Beside a linear baseline"

struct beside {
    struct run *r;
    struct truth truth[PART_COUNT]; /* validation, test */
    struct scored_model transformer, baseline;
    struct ensemble ensemble;
    const struct scored_model *models[MODELS];
    size_t count; /* 1: no baseline */
};

static const enum part parts[] = {PART_VALIDATION, PART_TEST};

static int read_logits(struct scored_model *c, const struct run *r, const char *path, int epoch, struct error *e)
{
    for (int i = 0; i < 2; i++) {
        const struct logits_rows whose = {r->data, r->split.part[parts[i]].rows};
        struct logits l;
        if (logits_read(&l, path, parts[i], epoch, &whose, e) != 0)
            return -1;
        if (l.rows != r->split.part[parts[i]].count || l.labels != r->labels || strcmp(l.split_sha256, r->split.sha256) != 0) {
            logits_free(&l);
            return error_set(e, ERROR_DATA, "%s: does not belong to this run's split; remove it and run again", path);
        }
        c->logits[parts[i]] = l.values;
    }
    return 0;
}

static struct validation_logits validation_of(const struct beside *b, const struct scored_model *c)
{
    return (struct validation_logits){c->logits[PART_VALIDATION], &b->truth[PART_VALIDATION]};
}

static void score(struct beside *b, struct scored_model *c)
{
    for (int i = 0; i < 2; i++)
        scored_model_score(c, parts[i], &b->truth[parts[i]]);
    b->models[b->count++] = c;
}

/* So that the metrics, and what the ensemble mixes, are of the bundle's probabilities. */
static void calibrate(const struct beside *b, struct scored_model *c)
{
    const double *t = b->r->temperatures;
    size_t labels = b->r->labels;
    for (int i = 0; i < 2; i++)
        for (size_t k = 0; k < b->truth[parts[i]].rows * labels; k++)
            c->logits[parts[i]][k] = (float)(c->logits[parts[i]][k] / t[k % labels]);
}

/* Its temperatures and thresholds are the run's, which tuning has chosen. */
static int add_transformer(struct beside *b, const struct label_options *o, struct error *e)
{
    const struct run *r = b->r;
    struct scored_model *c = &b->transformer;
    c->name = "transformer";
    if (read_logits(c, r, r->final.logits, r->final.epoch, e) != 0)
        return -1;
    calibrate(b, c);
    if (scored_model_tune(c, o, validation_of(b, c), e) != 0)
        return -1;
    memcpy(c->thresholds, r->thresholds, r->labels * sizeof *c->thresholds);
    c->met = true;
    score(b, c);
    return 0;
}

static int add_baseline(struct beside *b, const struct label_options *o, struct error *e)
{
    char *path = baseline_path(b->r);
    struct scored_model *c = &b->baseline;
    c->name = "TF-IDF + linear";
    int status = read_logits(c, b->r, path, BASELINE_EPOCH, e) == 0 ? scored_model_tune(c, o, validation_of(b, c), e) : -1;
    free(path);
    if (status == 0)
        score(b, c);
    return status;
}

static int add_ensemble(struct beside *b, const struct label_options *o, struct error *e)
{
    if (ensemble_tune(&b->ensemble, &b->transformer, &b->baseline, o, &b->truth[PART_VALIDATION], e) != 0)
        return -1;
    ensemble_mix(&b->ensemble, &b->transformer, &b->baseline, PART_TEST, &b->truth[PART_TEST]);
    score(b, &b->ensemble.together);
    return 0;
}

/* ---- words ---- */

static char *verdict(const struct beside *b)
{
    const char *name = headline_names[b->r->kind];
    double transformer = scored_model_headline(&b->transformer, PART_TEST),
           baseline = scored_model_headline(&b->baseline, PART_TEST);
    if (transformer > baseline)
        return format_string("The transformer beats the TF-IDF baseline on test: %s %.4f against %.4f.", name, transformer,
                             baseline);
    return format_string("The transformer %s the TF-IDF baseline on test: %s %.4f against %.4f. The simpler model is the better "
                         "choice until the transformer is trained better.",
                         transformer < baseline ? "LOSES to" : "is no better than", name, transformer, baseline);
}

/* The name of a row of the table; the ensemble's says how it is mixed. */
static void name_of(char text[64], const struct beside *b, const struct scored_model *c)
{
    if (c == &b->ensemble.together)
        snprintf(text, 64, "ensemble, %.2f TF-IDF", b->ensemble.weight);
    else
        snprintf(text, 64, "%s", c->name);
}

static void add_line(struct buffer *to, const struct beside *b, const struct scored_model *c, bool markdown)
{
    const struct metrics *half = &c->half[PART_TEST], *tuned = &c->tuned[PART_TEST];
    bool binary = c->kind == DECISION_BINARY;
    double metrics[] = {binary ? tuned->pooled.precision : tuned->all.micro_precision,
                        binary ? tuned->pooled.recall : tuned->all.micro_recall,
                        binary ? tuned->pooled.f1 : tuned->all.micro_f1,
                        binary ? tuned->pooled.accuracy : tuned->all.macro_f1,
                        binary ? half->pooled.f1 : half->all.micro_f1,
                        binary ? half->pooled.accuracy : half->all.macro_f1};
    char name[64];
    name_of(name, b, c);
    buffer_printf(to, markdown ? "| %s" : "  %-24s", name);
    for (size_t i = 0; i < sizeof metrics / sizeof metrics[0]; i++)
        buffer_printf(to, markdown ? " | %.4f" : "  %9.4f", metrics[i]);
    buffer_text(to, markdown ? " |\n" : c->met ? "\n" : "  (no threshold meets the rule: at 0.5)\n");
}

static const char *const heads[][2] = {
    {"  on test                   precision     recall         F1   accuracy  F1 at 0.5   accuracy\n",
     "| model | precision | recall | F1 | accuracy | F1 at 0.5 | accuracy at 0.5 |\n|---|---|---|---|---|---|---|\n"},
    {"  on test                   precision     recall   micro F1   macro F1  and at 0.5   macro F1\n",
     "| model | precision | recall | micro F1 | macro F1 | micro F1 at 0.5 | macro F1 at 0.5 "
     "|\n|---|---|---|---|---|---|---|\n"}};

static void add_table(struct buffer *to, const struct beside *b, bool markdown)
{
    buffer_text(to, heads[b->r->kind != DECISION_BINARY][markdown]);
    for (size_t i = 0; i < b->count; i++)
        add_line(to, b, b->models[i], markdown);
}

static void print_about(const struct json *about, bool made)
{
    printf("  %.0f words and pairs of words of %.0f rows, ", json_number(json_get(about, "features")),
           json_number(json_get(about, "rows")));
    if (made)
        printf("%.1f s\n", json_number(json_get(about, "seconds")));
    else
        printf("done before\n");
}

/* ---- files ---- */

static int write_json(const struct run *r, const char *name, const struct json *j, struct error *e)
{
    char *path = path_join(r->directory, name);
    int status = json_write(path, j, e);
    free(path);
    return status;
}

/* about is copied. */
static int write_baseline(const struct beside *b, const struct json *about, struct error *e)
{
    struct json *o = json_object(), *beside;
    const struct run *r = b->r;
    json_set(o, "model", json_copy(about));
    json_set_string(o, "split_sha256", r->split.sha256);
    if (b->count > 1) {
        char *words = verdict(b);
        json_set_string(o, "compared_by", headline_names[r->kind]);
        json_set_string(o, "verdict", words);
        json_set_boolean(o, "transformer_wins",
                         scored_model_headline(&b->transformer, PART_TEST) > scored_model_headline(&b->baseline, PART_TEST));
        free(words);
        json_set(o, "baseline", scored_model_to_json(&b->baseline, r->label_names));
        beside = json_set(o, "transformer", scored_model_to_json(&b->transformer, r->label_names));
        json_set_string(beside, "trial", r->trials[r->order[0]].key);
    }
    int status = write_json(r, "baseline.json", o, e);
    json_destroy(&o);
    return status;
}

static int write_ensemble(const struct beside *b, struct error *e)
{
    struct json *o = ensemble_to_json(&b->ensemble, b->r->label_names);
    int status = write_json(b->r, "ensemble.json", o, e);
    json_destroy(&o);
    return status;
}

char *beside_section(const char *directory)
{
    struct error ignored;
    char *path = path_join(directory, "table.md"), *text = NULL, *section = NULL;
    size_t size;
    if (file_exists(path) && file_read(&text, &size, path, &ignored) == 0) {
        const char *found = strstr(text, TITLE);
        section = duplicate(found);
        free(text);
    }
    free(path);
    return section;
}

/* In place of what a run before this one has said. */
static int add_to_table(const struct beside *b, struct error *e)
{
    char *path = path_join(b->r->directory, "table.md"), *text;
    size_t size;
    int status = file_read(&text, &size, path, e);
    if (status == 0) {
        char *old = strstr(text, TITLE);
        if (old)
            *old = 0;
        char *whole = format_string("%s%s%s", text, old ? "" : "\n", b->r->beside);
        status = file_write(path, whole, strlen(whole), e);
        free(whole);
        free(text);
    }
    free(path);
    return status;
}

/* ---- the report ---- */

static void put_words(struct beside *b)
{
    struct buffer text = {0};
    char *words = verdict(b);
    buffer_text(&text,
                TITLE "\n\nOn test, thresholds chosen on validation. The baseline is a logistic "
                      "regression on TF-IDF of words and pairs of words; the ensemble is the weighted mean of both models' "
                      "probabilities and is not part of the bundle.\n\n");
    add_table(&text, b, true);
    buffer_printf(&text, "\n%s\n", words);
    free(b->r->beside);
    b->r->beside = text.data;
    struct buffer screen = {0};
    add_table(&screen, b, false);
    printf("%s  %s\n", screen.data, words);
    buffer_free(&screen);
    free(words);
}

static int report_baseline(struct beside *b, const struct label_options *o, struct error *e)
{
    struct json *about;
    bool made;
    printf("\n== baseline: TF-IDF of words and pairs of words, logistic regression\n");
    fflush(stdout);
    if (baseline_make(&about, &made, b->r, e) != 0)
        return -1;
    const char *skipped = json_string(json_get(about, "skipped"));
    int status = 0;
    if (skipped) {
        printf("  no baseline: %s\n", skipped);
        status = write_baseline(b, about, e);
    } else {
        print_about(about, made);
        status = add_baseline(b, o, e) == 0 ? add_ensemble(b, o, e) : -1;
        if (status == 0) {
            put_words(b);
            status = write_baseline(b, about, e) == 0 && write_ensemble(b, e) == 0 ? add_to_table(b, e) : -1;
        }
    }
    json_destroy(&about);
    return status;
}

static int report_automatable(const struct beside *b, struct error *e)
{
    const struct run *r = b->r;
    struct json *o = json_object();
    json_set_number(o, "agreement", r->job->report.agreement);
    json_set_string(o, "part", part_names[PART_TEST]);
    struct json *models = json_set(o, "models", json_array());
    printf("\n== automatable: labels that reach F1 %.2f on test (report.agreement)\n", r->job->report.agreement);
    for (size_t i = 0; i < b->count; i++) {
        struct automatable a;
        const struct binary_metrics *each = b->models[i]->tuned[PART_TEST].each;
        automatable_find(&a, &b->truth[PART_TEST], each, r->job->report.agreement);
        automatable_print(&a, b->models[i]->name, r->label_names);
        struct json *one = automatable_to_json(&a, each, r->label_names);
        json_set_string(one, "model", b->models[i]->name);
        json_append(models, one);
        automatable_free(&a);
    }
    int status = write_json(r, "automatable.json", o, e);
    json_destroy(&o);
    return status;
}

int beside_transformer(struct run *r, struct error *e)
{
    const struct job *j = r->job;
    struct beside b = {.r = r};
    struct label_options o = {&j->tune.grid, j->tune.per_class, j->tune.min_positives};
    if (!j->report.baseline && r->kind != DECISION_LABELS)
        return 0;
    for (int i = 0; i < 2; i++)
        truth_read(&b.truth[parts[i]], r->data, r->split.part[parts[i]].rows, r->split.part[parts[i]].count,
                   (uint32_t)r->positive);
    int status = add_transformer(&b, &o, e);
    if (status == 0 && j->report.baseline)
        status = report_baseline(&b, &o, e);
    if (status == 0 && r->kind == DECISION_LABELS)
        status = report_automatable(&b, e);
    for (int i = 0; i < 2; i++)
        truth_free(&b.truth[parts[i]]);
    scored_model_free(&b.transformer);
    scored_model_free(&b.baseline);
    ensemble_free(&b.ensemble);
    return status;
}
