/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of runs. */
#include "coordinator/zoo/zoo_row.h"

#include "common/base/file.h"
#include "common/base/memory.h"
#include "coordinator/report/run_directory.h"
#include "coordinator/zoo/zoo_describe.h"

#include <stdlib.h>
#include <string.h>

#define LOGITS_EPOCH 1 /* under which the baseline's stand */

struct zoo_row *zoo_rows_add(struct zoo_rows *to)
{
    to->list = grow(to->list, &to->capacity, to->count + 1, sizeof *to->list);
    struct zoo_row *row = &to->list[to->count++];
    *row = (struct zoo_row){.values = json_object()};
    return row;
}

void zoo_rows_free(struct zoo_rows *r)
{
    for (size_t i = 0; i < r->count; i++) {
        json_destroy(&r->list[i].values);
        json_destroy(&r->list[i].labels);
        free(r->list[i].protocol);
        free(r->list[i].data);
        free(r->list[i].validation);
        free(r->list[i].test);
    }
    free(r->list);
    *r = (struct zoo_rows){0};
}

/* ---- what training did ---- */

static const struct json *trial_of(const struct report_run *r)
{
    const struct json *trials = json_get(r->table, "trials");
    for (size_t i = 0; r->chosen && i < json_size(trials); i++) {
        const char *key = json_string(json_get(json_at(trials, i), "trial"));
        if (key && strcmp(key, r->chosen) == 0)
            return json_at(trials, i);
    }
    return NULL;
}

static const struct json *last_event(const struct report_run *r, const char *name, const char *trial)
{
    const struct json *found = NULL;
    for (size_t i = 0; i < json_size(r->events); i++) {
        const char *event = json_string(json_get(json_at(r->events, i), "event")),
                   *of = json_string(json_get(json_at(r->events, i), "trial"));
        if (event && strcmp(event, name) == 0 && (!trial || (of && strcmp(of, trial) == 0)))
            found = json_at(r->events, i);
    }
    return found;
}

static void add_device(struct json *to, const struct report_run *r)
{
    const struct json *group = last_event(r, "group_started", NULL);
    const char *device = json_string(json_get(group, "device"));
    if (!device)
        return;
    char *words = format_string("%.0f x %s", json_number(json_get(group, "ranks")), device);
    json_set_string(to, "device", words);
    free(words);
}

/* Rows a second: of training, validation after each epoch included. */
static void add_training(struct json *to, const struct report_run *r)
{
    const struct json *trial = trial_of(r);
    double seconds = json_number(json_get(trial, "seconds"));
    zoo_set_above_zero(to, "train_seconds", seconds);
    if (seconds > 0 && r->has_split)
        zoo_set_above_zero(to, "train_rows_per_second",
                           json_number(json_get(trial, "epochs_done")) * r->split.part[PART_TRAIN].count / seconds);
    if (trial)
        add_device(to, r);
}

/* Mean and deviation over seeds (over folds, in a cross-validation) of the score that ranks. */
static void add_seeds(struct json *to, const struct report_run *r)
{
    const struct json *all = json_get(r->table, "configurations");
    for (size_t i = 0; i < json_size(all); i++) {
        const struct json *c = json_at(all, i), *score = json_get(json_get(c, "metrics"), "score");
        const char *best = json_string(json_get(c, "best_trial")), *name = json_string(json_get(c, "configuration"));
        bool ours = r->chosen && ((best && strcmp(best, r->chosen) == 0) || (name && strcmp(name, r->chosen) == 0));
        if (!ours || !score)
            continue;
        struct json *o = json_set(to, "seeds", json_object());
        json_set_number(o, "count", json_number(json_get(c, "done")));
        json_set(o, "mean", json_copy(json_get(score, "mean")));
        json_set(o, "sd", json_copy(json_get(score, "sd")));
    }
}

static void add_truncated(struct json *to, const struct report_run *r)
{
    const struct json *truncated = json_get(json_get(r->check, "tokens"), "truncated");
    double kept = json_number(json_get(r->check, "kept"));
    if (json_type(truncated) == JSON_NUMBER && kept > 0)
        json_set_number(to, "truncated_share", json_number(truncated) / kept);
}

static void add_status(struct json *to, const struct report_run *r)
{
    const struct json *end = last_event(r, "run_ended", NULL);
    bool failed = json_number(json_get(end, "exit_code")) > 0;
    json_set_string(to, "status", r->inference ? "published" : failed ? "stopped" : r->chosen ? "tuned" : "not finished");
    if (!r->inference && failed && json_string(json_get(end, "why")))
        json_set_string(to, "why", json_string(json_get(end, "why")));
}

/* ---- the parts ---- */

struct rule {
    const double *temperatures, *thresholds;
};

/* NULL: no logits. */
static double *add_part(struct json *to, enum part part, const struct report_run *r, const struct logits *l, struct rule rule)
{
    if (!l->values || l->rows == 0)
        return NULL;
    double *draws = allocate(ZOO_DRAWS, BOOTSTRAP_METRICS * sizeof *draws);
    struct truth t;
    truth_read(&t, r->data, r->split.part[part].rows, l->rows, r->positive);
    const struct zoo_model m = {&t, l->values, rule.temperatures, rule.thresholds};
    json_set(to, part_names[part], zoo_score(draws, &m));
    truth_free(&t);
    return draws;
}

static void name_rows(struct zoo_row *row, const struct report_run *r)
{
    const char *split = json_string(json_get(r->split_file, "sha256")),
               *data = json_string(json_get(r->split_file, "data_sha256"));
    struct json *labels = json_array();
    for (uint32_t c = 0; c < r->label_count; c++)
        json_append(labels, json_of_string(r->labels[c]));
    char *text = json_print(labels, false);
    row->protocol = format_string("%s %s", split ? split : "", text);
    row->data = duplicate(data);
    row->most_probable = !r->multi && r->label_count > 2;
    if (split)
        json_set_string(row->values, "protocol", split);
    row->labels = labels;
    free(text);
}

/* ---- the baseline ---- */

/* Of a baseline: one for each label, one for the positive one of two. Caller frees. */
static double *thresholds_of(const struct json *baseline, const struct report_run *r)
{
    const struct json *one = json_get(baseline, "threshold"), *each = json_get(baseline, "thresholds");
    double *thresholds = allocate(r->label_count, sizeof *thresholds);
    for (uint32_t c = 0; c < r->label_count; c++) {
        const struct json *own = json_get(each, r->labels[c]);
        own = own ? own : one;
        thresholds[c] = own ? json_number(own) : 0.5;
    }
    return thresholds;
}

static bool belongs(const struct logits *l, const struct report_run *r, enum part part)
{
    return l->rows == r->split.part[part].count && l->labels == r->label_count && strcmp(l->split_sha256, r->split.sha256) == 0;
}

static int read_baseline(struct logits *ret, const struct report_run *r, enum part part, struct error *e)
{
    char *path = path_join(r->directory, "baseline.h5");
    const struct logits_rows whose = {r->data, r->split.part[part].rows};
    struct logits l = {0};
    int status = file_exists(path) ? logits_read(&l, path, part, LOGITS_EPOCH, &whose, e) : 0;
    free(path);
    if (status == 0 && l.values && !belongs(&l, r, part))
        logits_free(&l);
    if (status == 0)
        *ret = l;
    return status;
}

static int add_baseline(struct zoo_rows *to, const struct report_run *r, const char *fields, struct error *e)
{
    const struct json *baseline = json_get(r->baseline, "baseline"), *model = json_get(r->baseline, "model");
    struct logits validation = {0}, test = {0};
    if (!baseline || !r->has_split)
        return 0;
    if (read_baseline(&validation, r, PART_VALIDATION, e) != 0 || read_baseline(&test, r, PART_TEST, e) != 0) {
        logits_free(&validation);
        return -1;
    }
    struct zoo_row *row = zoo_rows_add(to);
    double *ones = allocate(r->label_count, sizeof *ones), *thresholds = thresholds_of(baseline, r);
    for (uint32_t c = 0; c < r->label_count; c++)
        ones[c] = 1;
    name_rows(row, r);
    json_set_string(row->values, "name", json_string(json_get(baseline, "name")));
    json_set_boolean(row->values, "baseline", true);
    json_set_string(row->values, "directory", r->directory);
    json_set_string(row->values, "method", "TF-IDF");
    json_set_string(row->values, "fields", fields);
    zoo_set_above_zero(row->values, "parameters", json_number(json_get(model, "features")) * r->label_count);
    zoo_set_above_zero(row->values, "train_seconds", json_number(json_get(model, "seconds")));
    row->validation = add_part(row->values, PART_VALIDATION, r, &validation, (struct rule){ones, thresholds});
    row->test = add_part(row->values, PART_TEST, r, &test, (struct rule){ones, thresholds});
    json_set_string(row->values, "status", "baseline");
    free(thresholds);
    free(ones);
    logits_free(&validation);
    logits_free(&test);
    return 0;
}

/* ---- a run ---- */

static struct json *names(const struct text_fields *f)
{
    struct json *list = json_array();
    for (size_t i = 0; i < f->count; i++)
        json_append(list, json_of_string(f->names[i]));
    return list;
}

char *zoo_fields_of(const struct job *j)
{
    struct json *a = names(&j->data.text_a), *b = names(&j->data.text_b);
    char *fields = zoo_fields(a, b);
    json_destroy(&a);
    json_destroy(&b);
    return fields;
}

/* What the bundle will say, of a run that has none yet. */
static struct json *description(const struct report_run *r)
{
    struct json *o = json_object(), *input = json_set(o, "input", json_object());
    const struct json *trial = trial_of(r), *rule = json_get(r->tune, "rule"), *labels = json_get(r->check, "labels");
    json_set_string(o, "model_name", r->job.model);
    json_set(input, "text_a", names(&r->job.data.text_a));
    json_set(input, "text_b", names(&r->job.data.text_b));
    json_set_boolean(input, "multi", r->multi);
    if (labels)
        json_set(input, "labels", json_copy(labels));
    json_set_number(o, "max_length", r->job.train.max_length);
    if (trial)
        json_set(o, "options", json_copy(json_get(trial, "options")));
    if (rule)
        json_set(o, "rule", json_copy(rule));
    if (json_type(json_get(r->tune, "threshold")) == JSON_NUMBER)
        json_set(o, "threshold", json_copy(json_get(r->tune, "threshold")));
    return o;
}

static void add_files(struct json *to, const struct report_run *r, const struct json *options)
{
    char *whole = format_string("%s/trials/%s/best.safetensors", r->directory, r->chosen),
         *adapter = format_string("%s/trials/%s/adapter.safetensors", r->directory, r->chosen);
    const struct json *sha256 = json_get(last_event(r, "trial_started", r->chosen), "model_sha256");
    zoo_describe_weights(to, options, whole, adapter);
    if (sha256)
        json_set(to, "backbone_sha256", json_copy(sha256));
    free(adapter);
    free(whole);
}

static void add_row(struct zoo_row *row, const struct report_run *r, const char *fields)
{
    struct json *own = description(r), *o = row->values;
    const struct json *about = r->inference ? r->inference : own;
    json_set_string(o, "name", r->job.name);
    json_set_string(o, "directory", r->directory);
    zoo_describe(o, about);
    json_set_string(o, "fields", fields);
    if (r->chosen)
        add_files(o, r, json_get(about, "options"));
    name_rows(row, r);
    add_truncated(o, r);
    add_seeds(o, r);
    const struct rule rule = {r->temperatures, r->thresholds};
    row->validation = add_part(o, PART_VALIDATION, r, &r->validation, rule);
    row->test = add_part(o, PART_TEST, r, &r->test, rule);
    add_training(o, r);
    add_status(o, r);
    json_destroy(&own);
}

int zoo_add_run(struct zoo_rows *to, const char *directory, struct error *e)
{
    struct report_run r;
    if (report_run_read(&r, directory, e) != 0)
        return -1;
    char *fields = zoo_fields_of(&r.job);
    add_row(zoo_rows_add(to), &r, fields);
    int status = add_baseline(to, &r, fields, e);
    free(fields);
    report_run_free(&r);
    return status;
}
