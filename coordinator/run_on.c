/* SPDX-License-Identifier: Apache-2.0 */
/* The order of the stages of a run. */
#include "coordinator/run_on.h"

#include "common/base/buffer.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/base/operation.h"
#include "common/base/stop.h"
#include "common/format/freeze.h"
#include "common/format/lora.h"
#include "common/format/model_config.h"
#include "coordinator/bundle/evaluation.h"
#include "coordinator/bundle/publish.h"
#include "coordinator/bundle/results_merge.h"
#include "coordinator/compare/comparison.h"
#include "coordinator/compare/comparison_text.h"
#include "coordinator/data/check.h"
#include "coordinator/data/split.h"
#include "coordinator/decision/decide.h"
#include "coordinator/job/job_variant.h"
#include "coordinator/memory_estimate.h"
#include "coordinator/report/report.h"
#include "coordinator/sweep/configurations.h"
#include "coordinator/sweep/cross_validation.h"
#include "coordinator/sweep/leaderboard.h"
#include "coordinator/sweep/scheduler_replay.h"
#include "coordinator/sweep/training.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What stages hand on to each other. */
struct run {
    struct job *job;
    enum stage last;         /* that was asked for */
    struct run_claim *claim; /* borrowed */
    char *model;             /* absolute */
    struct run_place place;  /* these, for the stages */
    struct run_data data;
    struct workers *workers; /* borrowed */
    struct trials trials;    /* with split.folds: configurations, of which */
    struct trials folds;     /* these are trained */
    struct decision decision;
    struct test_score score;
    char *origin; /* of the weights, with split.folds */
};

static void heading(const char *stage, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void heading(const char *stage, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    printf("\n== %s: ", stage);
    vprintf(format, arguments);
    printf("\n");
    fflush(stdout);
    va_end(arguments);
}

/* ---- check ---- */

static int check_length(const struct run_place *place, struct error *e)
{
    const struct job *j = place->job;
    struct model_config model;
    if (model_config_read(&model, place->model, e) != 0)
        return -1;
    if (j->train.max_length > model_config_max_length(&model))
        return error_set(e, ERROR_USAGE, "train.max_length: %u tokens are more than the %u that %s takes", j->train.max_length,
                         model_config_max_length(&model), j->model);
    bool *frozen = allocate(model.layers + 2, sizeof *frozen);
    char *names = job_freeze(j);
    int status = freeze_read(frozen, names, model.layers, e);
    free(names);
    free(frozen);
    bool adapted[ROLE_COUNT];
    char *targets = job_lora_targets(j);
    if (status == 0 && (job_is_lora(j) || json_get(j->sweep, "method")))
        status = lora_read_targets(adapted, targets, &model, e);
    free(targets);
    return status;
}

static int find_model(struct run *r, struct error *e)
{
    char *found = NULL;
    if (model_directory_find(&found, r->job->model, e) != 0)
        return -1;
    r->place.model = r->model = path_resolve(found, e);
    free(found);
    return r->model ? check_length(&r->place, e) : -1;
}

static int stage_check(struct run *r, struct error *e)
{
    const struct job *j = r->job;
    struct run_data *d = &r->data;
    heading("check", "%s", j->data.path ? j->data.path : j->data.train_path);
    if (sweep_plan(&r->trials, j, e) != 0 || find_model(r, e) != 0 || run_data_open(d, j, r->claim->directory, e) != 0 ||
        run_data_head(d, j, r->model, e) != 0)
        return -1;
    decision_create(&r->decision, r->trials.count);
    bool again = r->last != STAGE_CHECK && run_claim_was_done(r->claim, "check", dataset_sha256(d->data));
    if (!again)
        data_print_check(d->check);
    else
        printf("  done before: %u rows\n", dataset_rows(d->data));
    printf("  classifier head: %s\n", d->head.text);
    char *training = job_training_summary(j);
    printf("  training: %u epoch%s, %s\n", j->train.epochs, j->train.epochs == 1 ? "" : "s", training);
    free(training);
    if (memory_estimate_print(&r->place, d, &r->workers->options, again, e) != 0)
        return -1;
    if (r->last == STAGE_CHECK && r->trials.count > 1)
        sweep_print(&r->trials, j);
    return run_claim_remember(r->claim, "check", dataset_sha256(d->data), e);
}

/* ---- split ---- */

/* Of more than two labels, how many the part has rows of: one without is worth knowing before training. */
static void print_labels_of_part(const struct run_data *d, const uint32_t *rows, uint32_t count)
{
    uint64_t *of_label = allocate(d->labels, sizeof *of_label), all = 0;
    uint32_t absent = 0, first = 0;
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t l = 0; l < d->labels; l++)
            of_label[l] +=
                dataset_is_multi(d->data) ? dataset_targets(d->data, rows[i])[l] > 0 : dataset_class(d->data, rows[i]) == (int)l;
    for (uint32_t l = d->labels; l-- > 0;) {
        all += of_label[l];
        absent += of_label[l] == 0;
        first = of_label[l] == 0 ? l : first;
    }
    printf("   %.2f labels a row", count ? (double)all / count : 0);
    if (absent > 0)
        printf("; no row of %u of them, the first is %s", absent, d->label_names[first]);
    printf("\n");
    free(of_label);
}

static void print_part(const struct run_data *d, enum part part)
{
    uint32_t rows = d->split.part[part].count, positive = 0;
    printf("  %-12s %8u rows  %5.1f %%", part_names[part], rows, 100.0 * rows / dataset_rows(d->data));
    if (d->kind != DECISION_BINARY) {
        print_labels_of_part(d, d->split.part[part].rows, rows);
        return;
    }
    for (uint32_t i = 0; i < rows; i++)
        positive += dataset_class(d->data, d->split.part[part].rows[i]) == d->positive;
    printf("   %s %8u  (%.2f %%)\n", d->label_names[d->positive], positive, rows ? 100.0 * positive / rows : 0);
}

static uint64_t count_label(const struct run_data *d, const struct split *s, enum part part, uint32_t label)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < s->part[part].count; i++) {
        uint32_t row = s->part[part].rows[i];
        count += dataset_is_multi(d->data) ? dataset_targets(d->data, row)[label] > 0 : dataset_class(d->data, row) == (int)label;
    }
    return count;
}

#define FOLD_LABELS 8 /* labels whose counts stand in a line */

/* Rows and labels of each fold; which labels are too rare for all folds to have a row of them. */
static void print_folds(const struct run_data *d)
{
    uint32_t shown = d->labels < FOLD_LABELS ? d->labels : FOLD_LABELS, rare = 0;
    for (uint32_t f = 0; f < d->fold_count; f++) {
        const struct split *s = &d->folds[f].split;
        printf("  fold %-7u %8u rows  ", f + 1, s->part[PART_VALIDATION].count);
        for (uint32_t l = 0; l < shown; l++)
            printf("%s %s %llu", l ? "," : "", d->label_names[l], (unsigned long long)count_label(d, s, PART_VALIDATION, l));
        printf(shown < d->labels ? ", and %u more labels\n" : "\n", d->labels - shown);
    }
    for (uint32_t l = 0; l < d->labels; l++) {
        uint64_t count = count_label(d, &d->split, PART_TRAIN, l);
        if (count >= d->fold_count)
            continue;
        if (rare++ < FOLD_LABELS)
            log_warn("label \"%s\" has %llu row%s in train and validation, fewer than the %u folds: some folds have none of it",
                     d->label_names[l], (unsigned long long)count, count == 1 ? "" : "s", d->fold_count);
    }
    if (rare > FOLD_LABELS)
        log_warn("%u more labels have fewer rows than there are folds", rare - FOLD_LABELS);
}

static int stage_split(struct run *r, struct error *e)
{
    const struct job *j = r->job;
    struct run_data *d = &r->data;
    if (run_data_split(d, j, r->claim->directory, e) != 0)
        return -1;
    heading("split", "method %s, seed %.0f, by %s", d->split.method, (double)j->seed, j->data.group ? j->data.group : "row");
    if (d->fold_of)
        printf("  %u folds of the %u rows of train and validation; %u rows of test\n", d->fold_count,
               d->split.part[PART_TRAIN].count, d->split.part[PART_TEST].count);
    for (int p = 0; p < PART_COUNT && !d->fold_of; p++)
        print_part(d, (enum part)p);
    print_folds(d);
    if (data_print_split(j, d->check, e) != 0)
        return -1;
    return run_claim_remember(r->claim, "split", d->split.sha256, e);
}

/* ---- train: the baseline ---- */

static void print_class_weights(const struct run *r)
{
    const double *weights = r->trials.list[0].class_weights; /* with folds: of all their rows */
    uint32_t labels = r->data.labels, shown = labels < 6 ? labels : 6;
    if (r->job->multi && !(r->job->train.pos_weight_low > 0))
        return;
    printf("  %s weights", r->job->multi ? "positive" : "class");
    for (uint32_t c = 0; c < shown; c++)
        printf("%s %s %.4f", c ? "," : "", r->data.label_names[c], weights[c]);
    printf(shown < labels ? ", and %u more\n" : "\n", labels - shown);
}

static void print_taken_up(const struct trial_run *t)
{
    const struct epoch_score *s = t->epochs ? &t->epochs[t->best_epoch - 1] : NULL;
    if (t->state == TRIAL_PRUNED)
        printf("  %s  %s; done before (to train it to its end, remove its directory)\n", t->key, t->why);
    else if (s)
        printf("  %s  done before: best epoch %u of %u  loss %.4f  F1 %.4f  macro F1 %.4f\n", t->key, t->best_epoch,
               t->epochs_done, s->loss, s->positive.f1, s->all.macro_f1);
}

/* What workers train. */
static struct trials *trained(struct run *r)
{
    return r->data.fold_of ? &r->folds : &r->trials;
}

/* Several groups train the grid beside the baseline: none of them waits for it. */
static bool baseline_has_company(const struct run *r)
{
    return r->last > STAGE_TRAIN && r->trials.count > r->trials.baselines && r->workers->options.groups > 1;
}

/* Tunes trial i if it is done. */
static int tune_trial(struct run *r, size_t i, struct error *e)
{
    struct trial_run *t = &r->trials.list[i];
    const struct trial_run *folds = r->data.fold_of ? &r->folds.list[i * r->data.fold_count] : NULL;
    if (folds && cross_validation_gather(t, folds, &r->data, e) != 0)
        return -1;
    r->decision.trials[i].of = trials_candidate(t);
    if (t->state == TRIAL_DONE && decide_trial(&r->decision, i, &r->data, r->job, e) != 0)
        return -1;
    return folds ? cross_validation_score(t, folds, &r->decision, i, &r->data, r->job, e) : 0;
}

static int tune_baseline(struct run *r, bool print, struct error *e)
{
    const struct trial_run *t = &r->trials.list[0];
    const struct tuned_trial *tuned = &r->decision.trials[0];
    int status = tune_trial(r, 0, e);
    if (status == 0 && t->state == TRIAL_FAILED)
        return error_set(e, ERROR_FAILED, "the baseline %s failed: %s", t->key, t->why);
    if (status != 0)
        return -1;
    if (print)
        decide_print(tuned, &r->data, r->job);
    if (!tuned->own.met)
        printf("  no threshold: %s\n", tuned->own.why);
    return 0;
}

static int train(struct run *r, size_t first, size_t count, struct error *e)
{
    return trials_train(trained(r), first, count, &r->place, &r->data, r->workers, e);
}

static int stage_train(struct run *r, struct error *e)
{
    const struct job *j = r->job;
    if (r->data.fold_of)
        cross_validation_plan(&r->folds, &r->trials, j, &r->data);
    if (trials_prepare(&r->trials, &r->place, &r->data, e) != 0 ||
        (r->data.fold_of && trials_prepare(&r->folds, &r->place, &r->data, e) != 0))
        return -1;
    const struct trials *all = trained(r);
    const struct trial_run *t = &all->list[0];
    size_t seeds = j->train.seeds.count, baselines = all->baselines;
    heading("train", "baseline %s on %u rows, batch %u, %s, best epoch by %s", t->configuration_key,
            r->data.split.part[PART_TRAIN].count, j->train.batch, j->train.precision, j->train.select);
    if (seeds > 0)
        printf("  with %zu seed%s\n", seeds, seeds == 1 ? "" : "s");
    if (r->data.fold_of)
        printf("  once for each of %u folds, on the rows of the others\n", r->data.fold_count);
    print_class_weights(r);
    bool before = t->state == TRIAL_DONE;
    for (size_t i = 0; i < baselines; i++)
        print_taken_up(&all->list[i]);
    if (baseline_has_company(r))
        return 0;
    return train(r, 0, baselines, e) == 0 ? tune_baseline(r, !before || r->last == STAGE_TRAIN, e) : -1;
}

/* ---- sweep: the grid ---- */

static int stage_sweep(struct run *r, struct error *e)
{
    const struct trials *t = trained(r);
    size_t done = 0, first = t->baselines;
    if (t->count == first)
        return 0;
    for (size_t i = first; i < t->count; i++)
        done += t->list[i].state == TRIAL_DONE || t->list[i].state == TRIAL_PRUNED;
    char *scheduler = scheduler_replay_description(r->job);
    heading("sweep", "%zu trials besides the baseline, %zu done before%s", t->count - first, done, scheduler);
    free(scheduler);
    for (size_t i = first; i < t->count; i++)
        print_taken_up(&t->list[i]);
    if (!baseline_has_company(r))
        return train(r, first, t->count - first, e);
    bool before = t->list[0].state == TRIAL_DONE;
    return train(r, 0, t->count, e) == 0 ? tune_baseline(r, !before, e) : -1;
}

/* ---- tune: thresholds, table, winner ---- */

/* table.json, table.md: the trials, and how other models did as long as publish compared them by this decision. */
static int write_table(const struct run *r, struct error *e)
{
    struct json *table = leaderboard_to_json(&r->trials, &r->decision, r->job);
    char *trials = leaderboard_to_markdown(&r->trials, &r->decision, r->job);
    char *configurations = configurations_to_markdown(&r->trials, &r->decision, r->job);
    char *comparison = r->job->report.baseline ? comparison_section(r->claim->directory) : NULL;
    char *text = format_string("%s%s%s%s%s", trials, configurations ? "\n" : "", configurations ? configurations : "",
                               comparison ? "\n" : "", comparison ? comparison : "");
    if (configurations_repeated(r->job))
        json_set(table, "configurations", configurations_to_json(&r->trials, &r->decision, r->job));
    char *json_path = path_join(r->claim->directory, "table.json"), *path = path_join(r->claim->directory, "table.md");
    int status = json_write(json_path, table, e) == 0 ? file_write(path, text, strlen(text), e) : -1;
    free(path);
    free(json_path);
    free(text);
    free(comparison);
    free(configurations);
    free(trials);
    json_destroy(&table);
    return status;
}

static const struct trial_run *winner(const struct run *r)
{
    return &r->trials.list[r->decision.order[0]];
}

static int stage_tune(struct run *r, struct error *e)
{
    struct decision *d = &r->decision;
    for (size_t i = 1; i < r->trials.count; i++)
        if (tune_trial(r, i, e) != 0)
            return -1;
    if (decide_best(d, r->job, e) != 0)
        return -1;
    heading("tune", "%zu trial%s on validation", d->count, d->count == 1 ? "" : "s");
    leaderboard_print(&r->trials, d, r->job);
    configurations_print(&r->trials, d, r->job);
    char *summary = decision_summary(d, r->data.kind, r->data.labels);
    printf("  chosen: %s, %s\n", winner(r)->key, summary);
    free(summary);
    decide_print_temperature(d, r->job, r->data.labels);
    if (decide_write(d, &r->data, r->job, r->claim->directory, e) != 0 || write_table(r, e) != 0)
        return -1;
    return results_merge(&r->place, &r->data, &r->trials, winner(r), NULL, e);
}

/* ---- publish: test metrics, bundle ---- */

/* With split.folds the weights are yet to come. */
static int find_weights(struct run *r, struct error *e)
{
    size_t i = r->decision.order[0];
    char *origin;
    if (!r->data.fold_of)
        return 0;
    heading("final training", "%s, publish.of %s", winner(r)->key, r->job->publish.of);
    if (cross_validation_weights(&r->trials.list[i], &origin, &r->folds.list[i * r->data.fold_count], &r->place, &r->data,
                                 r->workers, e) != 0)
        return -1;
    printf("  the bundle's weights are those trained on %s\n", origin);
    r->origin = origin;
    return 0;
}

static int score_winner(struct run *r, struct error *e)
{
    if (find_weights(r, e) != 0)
        return -1;
    char *summary = decision_summary(&r->decision, r->data.kind, r->data.labels);
    heading("final", "%s, epoch %u, %s", winner(r)->key, winner(r)->best_epoch, summary);
    free(summary);
    if (test_score_make(&r->score, &r->place, &r->data, &r->decision, winner(r), r->workers, e) != 0)
        return -1;
    if (results_merge(&r->place, &r->data, &r->trials, winner(r), &r->score, e) != 0)
        return -1;
    test_score_print(&r->score, r->data.kind);
    return evaluation_write(&r->place, &r->data, &r->decision, &r->score, e);
}

static int compare(struct run *r, struct error *e)
{
    const struct comparison_source s = {&r->place, &r->data, &r->trials.list[0], &r->decision, r->score.logits, r->score.epoch};
    return comparison_make(&s, e) == 0 ? write_table(r, e) : -1;
}

static int make_bundle(struct run *r, bool *made, struct error *e)
{
    char *comparison = r->job->report.baseline ? comparison_section(r->claim->directory) : NULL;
    char *configurations = configurations_to_markdown(&r->trials, &r->decision, r->job);
    const struct bundle_source s = {&r->place, &r->data,   &r->decision,   winner(r),
                                    &r->score, comparison, configurations, r->origin};
    int status = publish(&s, made, e);
    free(configurations);
    free(comparison);
    return status;
}

static int stage_publish(struct run *r, struct error *e)
{
    const struct job *j = r->job;
    bool made;
    if (score_winner(r, e) != 0 || compare(r, e) != 0 || make_bundle(r, &made, e) != 0 ||
        report_write(j->out, NULL, false, e) != 0)
        return -1;
    heading("publish", "%s", made ? "done" : "done before");
    printf("  bundle  %s/bundle\n  zip     %s/%s.zip\n  table   %s/table.md\n  report  %s/report.html\n"
           "  next    muster predict %s/bundle FILE.jsonl\n",
           j->out, j->out, j->name, j->out, j->out, j->out);
    return 0;
}

static const char *const stage_names[] = {"check", "split", "train", "sweep", "tune", "publish"};
static int (*const stages[])(struct run *r, struct error *e) = {stage_check, stage_split, stage_train,
                                                                stage_sweep, stage_tune,  stage_publish};

static void run_free(struct run *r)
{
    workers_leave(r->workers);
    test_score_free(&r->score);
    decision_free(&r->decision);
    sweep_free(&r->folds);
    sweep_free(&r->trials);
    run_data_free(&r->data);
    free(r->origin);
    free(r->model);
}

/* The last line names them; of many, the first few. */
static void warn_of_failures(const struct run *r)
{
    struct buffer names = {0};
    size_t failed = 0;
    for (size_t i = 0; i < r->trials.count; i++)
        if (r->trials.list[i].state == TRIAL_FAILED && failed++ < 5)
            buffer_printf(&names, "%s%s", failed > 1 ? ", " : "", r->trials.list[i].key);
    if (failed > 0)
        log_warn("%zu of %zu trials failed (%s%s); the same command tries them again", failed, r->trials.count, names.data,
                 failed > 5 ? ", ..." : "");
    buffer_free(&names);
}

static int run_stages(struct run *r, struct error *e)
{
    bool folds = r->last == STAGE_CHECK && r->job->split.folds > 0; /* `check` tells them */
    for (int stage = 0; stage <= (folds ? (int)STAGE_SPLIT : (int)r->last); stage++) {
        int status = stop_check(e);
        operation_begin(stage_names[stage]);
        if (status != 0 || stages[stage](r, e) != 0 || run_claim_note_start(r->claim, e) != 0)
            return -1;
    }
    return 0;
}

int run_on(struct job *j, enum stage last, struct run_claim *claim, struct workers *workers, struct error *e)
{
    struct run r = {.job = j,
                    .last = last,
                    .claim = claim,
                    .place = {.job = j, .directory = claim->directory, .log = claim->log},
                    .workers = workers};
    int status = run_stages(&r, e);
    warn_of_failures(&r);
    run_free(&r);
    return status;
}
