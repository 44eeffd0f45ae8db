/* SPDX-License-Identifier: Apache-2.0 */
/* The comparison of models at the end of a run. */
#include "coordinator/compare/comparison.h"

#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/base/sha256.h"
#include "coordinator/compare/automatable.h"
#include "coordinator/compare/baseline.h"
#include "coordinator/compare/comparison_text.h"
#include "coordinator/compare/ensemble.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODELS 3

struct comparison {
    const struct comparison_source *source;
    const struct run_data *data;
    struct truth truth[PART_COUNT]; /* validation, test */
    struct scored_model transformer, baseline;
    struct ensemble ensemble;
    const struct scored_model *models[MODELS];
    size_t count; /* 1: no baseline */
};

static const enum part parts[] = {PART_VALIDATION, PART_TEST};

static int read_logits(struct scored_model *c, const struct run_data *d, const char *path, int epoch, struct error *e)
{
    for (int i = 0; i < 2; i++) {
        const struct logits_rows whose = {d->data, d->split.part[parts[i]].rows};
        struct logits l;
        if (logits_read(&l, path, parts[i], epoch, &whose, e) != 0)
            return -1;
        if (l.rows != d->split.part[parts[i]].count || l.labels != d->labels || strcmp(l.split_sha256, d->split.sha256) != 0) {
            logits_free(&l);
            return error_set(e, ERROR_DATA, "%s: does not belong to this run's split; remove it and run again", path);
        }
        c->logits[parts[i]] = l.values;
    }
    return 0;
}

static struct validation_logits validation_of(const struct comparison *b, const struct scored_model *c)
{
    return (struct validation_logits){c->logits[PART_VALIDATION], &b->truth[PART_VALIDATION]};
}

static void score(struct comparison *b, struct scored_model *c)
{
    for (int i = 0; i < 2; i++)
        scored_model_score(c, parts[i], &b->truth[parts[i]]);
    b->models[b->count++] = c;
}

/* So that the metrics, and what the ensemble mixes, are of the bundle's probabilities. */
static void calibrate(const struct comparison *b, struct scored_model *c)
{
    const double *t = b->source->decision->temperatures;
    size_t labels = b->data->labels;
    for (int i = 0; i < 2; i++)
        for (size_t k = 0; k < b->truth[parts[i]].rows * labels; k++)
            c->logits[parts[i]][k] = (float)(c->logits[parts[i]][k] / t[k % labels]);
}

/* Its temperatures and thresholds are the run's, which tuning has chosen. */
static int add_transformer(struct comparison *b, const struct label_options *o, struct error *e)
{
    struct scored_model *c = &b->transformer;
    c->name = "transformer";
    if (read_logits(c, b->data, b->source->logits, b->source->epoch, e) != 0)
        return -1;
    calibrate(b, c);
    if (scored_model_tune(c, o, validation_of(b, c), e) != 0)
        return -1;
    memcpy(c->thresholds, b->source->decision->thresholds, b->data->labels * sizeof *c->thresholds);
    c->met = true;
    score(b, c);
    return 0;
}

static int add_baseline(struct comparison *b, const struct label_options *o, struct error *e)
{
    char *path = baseline_path(b->source->place);
    struct scored_model *c = &b->baseline;
    c->name = "TF-IDF + linear";
    int status = read_logits(c, b->data, path, BASELINE_EPOCH, e) == 0 ? scored_model_tune(c, o, validation_of(b, c), e) : -1;
    free(path);
    if (status == 0)
        score(b, c);
    return status;
}

static int add_ensemble(struct comparison *b, const struct label_options *o, struct error *e)
{
    if (ensemble_tune(&b->ensemble, &b->transformer, &b->baseline, o, &b->truth[PART_VALIDATION], e) != 0)
        return -1;
    ensemble_mix(&b->ensemble, &b->transformer, &b->baseline, PART_TEST, &b->truth[PART_TEST]);
    score(b, &b->ensemble.together);
    return 0;
}

static char *conclusion(const struct comparison *b)
{
    const char *name = headline_names[b->data->kind];
    double transformer = scored_model_headline(&b->transformer, PART_TEST),
           baseline = scored_model_headline(&b->baseline, PART_TEST);
    if (transformer > baseline)
        return format_string("The transformer beats the TF-IDF baseline on test: %s %.4f against %.4f.", name, transformer,
                             baseline);
    return format_string("The transformer %s the TF-IDF baseline on test: %s %.4f against %.4f. The simpler model is the better "
                         "choice until the transformer is trained better.",
                         transformer < baseline ? "LOSES to" : "is no better than", name, transformer, baseline);
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

static int write_json(const struct comparison *b, const char *name, const struct json *j, struct error *e)
{
    char *path = path_join(b->source->place->directory, name);
    int status = json_write(path, j, e);
    free(path);
    return status;
}

/* The whole of baseline.json: about the model and, where there is one, the comparison. about is copied. */
static int baseline_to_json(struct json **ret, const struct comparison *b, const struct json *about, struct error *e)
{
    char decision[SHA256_HEX];
    if (comparison_decision(decision, b->source->place->directory, e) != 0)
        return -1;
    struct json *o = json_object();
    json_set(o, "model", json_copy(about));
    json_set_string(o, "split_sha256", b->data->split.sha256);
    if (b->count > 1) {
        char *text = conclusion(b);
        json_set_string(o, "tune_sha256", decision);
        json_set_string(o, "compared_by", headline_names[b->data->kind]);
        json_set_string(o, "verdict", text);
        json_set_boolean(o, "transformer_wins",
                         scored_model_headline(&b->transformer, PART_TEST) > scored_model_headline(&b->baseline, PART_TEST));
        free(text);
        json_set(o, "baseline", scored_model_to_json(&b->baseline, b->data->label_names));
        struct json *transformer = json_set(o, "transformer", scored_model_to_json(&b->transformer, b->data->label_names));
        json_set_string(transformer, "trial", decision_winner(b->source->decision)->of.key);
    }
    *ret = o;
    return 0;
}

/* ---- the report ---- */

/* Without a baseline, baseline.json says why. */
static int report_skipped(const struct comparison *b, const struct json *about, const char *why, struct error *e)
{
    struct json *baseline;
    printf("  no baseline: %s\n", why);
    if (baseline_to_json(&baseline, b, about, e) != 0)
        return -1;
    int status = write_json(b, "baseline.json", baseline, e);
    json_destroy(&baseline);
    return status;
}

static int report_models(struct comparison *b, const struct json *about, const struct label_options *o, struct error *e)
{
    struct json *baseline;
    if (add_baseline(b, o, e) != 0 || add_ensemble(b, o, e) != 0 || baseline_to_json(&baseline, b, about, e) != 0)
        return -1;
    struct json *ensemble = ensemble_to_json(&b->ensemble, b->data->label_names);
    comparison_print(baseline, ensemble);
    int status = write_json(b, "ensemble.json", ensemble, e) == 0 ? write_json(b, "baseline.json", baseline, e) : -1;
    json_destroy(&ensemble);
    json_destroy(&baseline);
    return status;
}

static int report_baseline(struct comparison *b, const struct label_options *o, struct error *e)
{
    struct json *about;
    bool made;
    printf("\n== baseline: TF-IDF of words and pairs of words, logistic regression\n");
    fflush(stdout);
    if (baseline_make(&about, &made, b->source->place, b->data, b->source->baseline, e) != 0)
        return -1;
    const char *skipped = json_string(json_get(about, "skipped"));
    int status;
    if (skipped) {
        status = report_skipped(b, about, skipped, e);
    } else {
        print_about(about, made);
        status = report_models(b, about, o, e);
    }
    json_destroy(&about);
    return status;
}

static int report_automatable(const struct comparison *b, struct error *e)
{
    double agreement = b->source->place->job->report.agreement;
    struct json *o = json_object();
    json_set_number(o, "agreement", agreement);
    json_set_string(o, "part", part_names[PART_TEST]);
    struct json *models = json_set(o, "models", json_array());
    printf("\n== automatable: labels that reach F1 %.2f on test (report.agreement)\n", agreement);
    for (size_t i = 0; i < b->count; i++) {
        struct automatable a;
        const struct binary_metrics *each = b->models[i]->at_threshold[PART_TEST].each;
        automatable_find(&a, &b->truth[PART_TEST], each, agreement);
        automatable_print(&a, b->models[i]->name, b->data->label_names);
        struct json *one = automatable_to_json(&a, each, b->data->label_names);
        json_set_string(one, "model", b->models[i]->name);
        json_append(models, one);
        automatable_free(&a);
    }
    int status = write_json(b, "automatable.json", o, e);
    json_destroy(&o);
    return status;
}

int comparison_make(const struct comparison_source *source, struct error *e)
{
    const struct job *j = source->place->job;
    const struct run_data *d = source->data;
    struct comparison b = {.source = source, .data = d};
    struct label_options o = label_options_of(j);
    if (!j->report.baseline && d->kind != DECISION_LABELS)
        return 0;
    for (int i = 0; i < 2; i++)
        truth_read(&b.truth[parts[i]], d->data, d->split.part[parts[i]].rows, d->split.part[parts[i]].count,
                   (uint32_t)d->positive);
    int status = add_transformer(&b, &o, e);
    if (status == 0 && j->report.baseline)
        status = report_baseline(&b, &o, e);
    if (status == 0 && d->kind == DECISION_LABELS)
        status = report_automatable(&b, e);
    for (int i = 0; i < 2; i++)
        truth_free(&b.truth[parts[i]]);
    scored_model_free(&b.transformer);
    scored_model_free(&b.baseline);
    ensemble_free(&b.ensemble);
    return status;
}
