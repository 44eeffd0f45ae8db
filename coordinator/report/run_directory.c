/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a run's directory for a report. */
#include "coordinator/report/run_directory.h"

#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/base/table.h"
#include "common/format/jsonl.h"
#include "coordinator/data/folds.h"
#include "coordinator/data/tokenize.h"
#include "coordinator/events/event_log.h"
#include "coordinator/job/job_combinations.h"

#include <stdlib.h>
#include <string.h>

#define SCORE_EPOCH 1 /* final.c writes the last word on the winner under it */

/* *ret stays NULL if there is no such file. */
static int read_if_there(struct json **ret, const char *directory, const char *name, struct error *e)
{
    char *path = path_join(directory, name);
    int status = file_exists(path) ? json_read(ret, path, e) : 0;
    free(path);
    return status;
}

static int read_files(struct report_run *r, struct error *e)
{
    const struct {
        const char *name;
        struct json **to;
    } files[] = {{"job.json", &r->job_file},
                 {"check.json", &r->check},
                 {"split.json", &r->split_file},
                 {"tune.json", &r->tune},
                 {"table.json", &r->table},
                 {"bundle/inference_config.json", &r->inference},
                 {"baseline.json", &r->baseline},
                 {"ensemble.json", &r->ensemble},
                 {"automatable.json", &r->automatable},
                 {"evaluation.json", &r->evaluation}};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (read_if_there(files[i].to, r->directory, files[i].name, e) != 0)
            return -1;
    return 0;
}

static int read_job(struct report_run *r, struct error *e)
{
    char *path = path_join(r->directory, "job.json");
    int status = job_read(&r->job, path, NULL, 0, e);
    free(path);
    if (status == 0 && job_combinations(&r->job) > 0)
        status = error_set(e, ERROR_USAGE, "%s: holds a run for each model and choice of fields; name one of %s/models",
                           r->directory, r->directory);
    r->multi = r->job.multi;
    return status;
}

static void read_labels(struct report_run *r)
{
    const struct json *labels = json_get(r->check, "labels");
    r->label_count = (uint32_t)json_size(labels);
    r->labels = allocate(r->label_count, sizeof *r->labels);
    r->positive = r->label_count ? r->label_count - 1 : 0;
    for (uint32_t c = 0; c < r->label_count; c++) {
        const char *name = json_string(json_get(json_at(labels, c), "name"));
        r->labels[c] = name ? name : "";
        if (!r->multi && r->job.data.positive && strcmp(r->labels[c], r->job.data.positive) == 0)
            r->positive = c;
    }
}

static int read_data(struct report_run *r, struct error *e)
{
    const char *hash = json_string(json_get(r->check, "made_from"));
    if (!hash)
        return 0;
    bool folds = r->job.split.folds > 0;
    char *rows = data_rows_path(r->directory, hash), *split = path_join(r->directory, folds ? "folds/whole.json" : "split.json");
    int status = 0;
    if (file_exists(rows)) {
        status = dataset_open(&r->data, rows, e);
        if (status == 0 && dataset_labels(r->data) != r->label_count)
            status = error_set(e, ERROR_DATA, "%s: has %u labels, check.json names %u; run muster check again", rows,
                               dataset_labels(r->data), r->label_count);
        if (status == 0 && file_exists(split)) {
            status = split_read(&r->split, split, r->data, e);
            r->has_split = status == 0;
            if (folds && r->has_split)
                folds_validate_out_of_fold(&r->split);
        }
    }
    free(rows);
    free(split);
    return status;
}

/* ---- the winner ---- */

/* One value a label, from an object or list `own`, else from `all`. */
static double *read_values(const struct report_run *r, const struct json *own, const struct json *all, double fallback)
{
    double *values = allocate(r->label_count, sizeof *values);
    for (uint32_t c = 0; c < r->label_count; c++) {
        const struct json *value = json_type(own) == JSON_OBJECT ? json_get(own, r->labels[c]) : json_at(own, c);
        value = json_type(value) == JSON_NUMBER ? value : all;
        values[c] = json_type(value) == JSON_NUMBER ? json_number(value) : fallback;
    }
    return values;
}

static void read_rule(struct report_run *r)
{
    const struct json *from = r->inference ? r->inference : r->tune;
    const struct json *threshold = json_get(from, "threshold"), *thresholds = json_get(from, "thresholds");
    r->decided = json_type(threshold) == JSON_NUMBER || json_size(thresholds) > 0;
    r->thresholds = read_values(r, thresholds, threshold, 0.5);
    r->temperatures = read_values(r, json_get(from, "temperatures"), json_get(from, "temperature"), 1);
    for (uint32_t c = 0; c < r->label_count; c++)
        if (!(r->temperatures[c] > 0))
            r->temperatures[c] = 1;
}

static void find_winner(struct report_run *r)
{
    const struct json *trials = json_get(r->table, "trials");
    r->chosen = json_string(json_get(r->inference, "trial"));
    if (!r->chosen)
        r->chosen = json_string(json_get(r->tune, "chosen"));
    for (size_t i = 0; r->chosen && i < json_size(trials); i++) {
        const char *key = json_string(json_get(json_at(trials, i), "trial"));
        if (key && strcmp(key, r->chosen) == 0)
            r->best_epoch = (int)json_number(json_get(json_at(trials, i), "best_epoch"));
    }
}

/* Logits of another split or shape are a sign of an old file, not of the winner: they are left out. */
static int read_logits(struct logits *ret, const struct report_run *r, const char *prefix, enum part part, int epoch,
                       struct error *e)
{
    char *path = format_string("%s/trials/%s%s/logits.h5", r->directory, prefix, r->chosen);
    struct logits l = {0};
    const struct logits_rows whose = {r->data, r->split.part[part].rows};
    int status = file_exists(path) ? logits_read(&l, path, part, epoch, &whose, e) : 0;
    free(path);
    if (l.values &&
        (l.rows != r->split.part[part].count || l.labels != r->label_count || strcmp(l.split_sha256, r->split.sha256) != 0))
        logits_free(&l);
    if (status == 0)
        *ret = l;
    return status;
}

static int read_winner(struct report_run *r, struct error *e)
{
    find_winner(r);
    read_rule(r);
    if (!r->chosen || !r->has_split || r->best_epoch < 1)
        return 0;
    if (read_logits(&r->validation, r, "", PART_VALIDATION, r->best_epoch, e) != 0)
        return -1;
    return read_logits(&r->test, r, "score-", PART_TEST, SCORE_EPOCH, e);
}

/* ---- what training wrote ---- */

static void read_metrics(struct report_metrics *ret, const char *directory, const char *trial)
{
    char *path = format_string("%s/trials/%s/metrics.jsonl", directory, trial);
    struct report_metrics m = {.trial = trial};
    struct jsonl *file = NULL;
    const struct json *row;
    size_t line, steps = 0, losses = 0, epochs = 0;
    /* A trial that has just begun has no line yet; one under way may end in half a line. */
    if (file_exists(path) && jsonl_open(&file, path, NULL, NULL) == 0) {
        while (jsonl_next(file, &row, &line, NULL) > 0) {
            if (json_get(row, "validation")) {
                m.epoch = grow(m.epoch, &epochs, m.epochs + 1, sizeof *m.epoch);
                m.epoch[m.epochs++] = json_copy(row);
            } else if (json_type(json_get(row, "loss")) == JSON_NUMBER) {
                m.step = grow(m.step, &steps, m.steps + 1, sizeof *m.step);
                m.loss = grow(m.loss, &losses, m.steps + 1, sizeof *m.loss);
                m.step[m.steps] = json_number(json_get(row, "step"));
                m.loss[m.steps++] = json_number(json_get(row, "loss"));
            }
        }
        jsonl_close(&file);
    }
    free(path);
    *ret = m;
}

/* Those of the table, or as long as there is none those that began; with split.folds the table has configurations, and their
 * folds were trained. */
static void read_trials(struct report_run *r)
{
    const struct json *trials = r->job.split.folds > 0 ? NULL : json_get(r->table, "trials"), *from = trials ? trials : r->events;
    size_t capacity = 0;
    struct table *known;
    table_create(&known);
    for (size_t i = 0; i < json_size(from); i++) {
        const char *event = json_string(json_get(json_at(from, i), "event")),
                   *key = json_string(json_get(json_at(from, i), "trial"));
        bool trained = trials || (event && strcmp(event, "trial_started") == 0);
        if (!key || !trained || table_find(known, key) != TABLE_ABSENT)
            continue;
        table_add(known, key);
        r->metrics = grow(r->metrics, &capacity, r->metrics_count + 1, sizeof *r->metrics);
        read_metrics(&r->metrics[r->metrics_count++], r->directory, key);
    }
    table_destroy(&known);
}

int report_run_read(struct report_run *ret, const char *directory, struct error *e)
{
    struct report_run r = {.directory = duplicate(directory)};
    int status = 0;
    if (!directory_exists(directory))
        status = error_set(e, ERROR_USAGE, "%s: no such run directory", directory);
    else if (event_log_read(&r.events, directory, e) != 0 || read_files(&r, e) != 0)
        status = -1;
    else if (!r.job_file)
        status = error_set(e, ERROR_USAGE, "%s: holds no run (no job.json); name the \"out\" directory of a job", directory);
    else if (read_job(&r, e) != 0)
        status = -1;
    if (status == 0) {
        read_labels(&r);
        if (read_data(&r, e) != 0 || read_winner(&r, e) != 0)
            status = -1;
        read_trials(&r);
    }
    if (status != 0) {
        report_run_free(&r);
        return -1;
    }
    *ret = r;
    return 0;
}

bool report_is_calibrated(const struct report_run *r)
{
    for (uint32_t c = 0; c < r->label_count; c++)
        if (r->temperatures[c] != 1)
            return true;
    return false;
}

void report_run_free(struct report_run *r)
{
    struct json **const files[] = {&r->job_file,  &r->check,    &r->split_file, &r->tune,        &r->table,     &r->events,
                                   &r->inference, &r->baseline, &r->ensemble,   &r->automatable, &r->evaluation};
    for (size_t i = 0; i < r->metrics_count; i++) {
        for (size_t k = 0; k < r->metrics[i].epochs; k++)
            json_destroy(&r->metrics[i].epoch[k]);
        free(r->metrics[i].epoch);
        free(r->metrics[i].step);
        free(r->metrics[i].loss);
    }
    free(r->metrics);
    logits_free(&r->validation);
    logits_free(&r->test);
    if (r->has_split)
        split_free(&r->split);
    dataset_close(&r->data);
    free(r->thresholds);
    free(r->temperatures);
    free(r->labels);
    job_free(&r->job);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        json_destroy(files[i]);
    free(r->directory);
    memset(r, 0, sizeof *r);
}
