/* SPDX-License-Identifier: Apache-2.0 */
/* Owns inference_config.json: all that predicting needs beyond the weights, and what the numbers rest on. */
#include "common/base/version.h"
#include "coordinator/bundle/publish.h"

#include "coordinator/decision/decide.h"
#include <string.h>

static struct json *texts(const struct text_fields *f)
{
    struct json *list = json_array();
    for (size_t i = 0; i < f->count; i++)
        json_append(list, json_of_string(f->names[i]));
    return list;
}

static struct json *label_list(const struct run *r)
{
    struct json *list = json_array();
    for (uint32_t c = 0; c < r->labels; c++)
        json_append(list, json_of_string(r->label_names[c]));
    return list;
}

/* How a row becomes text A and text B. */
static struct json *input(const struct run *r)
{
    const struct job *j = r->job;
    struct json *o = json_object();
    json_set(o, "text_a", texts(&j->data.text_a));
    json_set(o, "text_b", texts(&j->data.text_b));
    if (j->data.word_limits)
        json_set(o, "word_limits", json_copy(j->data.word_limits));
    json_set_string(o, "joiner", j->data.joiner);
    json_set(o, "required", texts(&j->data.required));
    json_set_string(o, "id", j->data.id);
    json_set(o, "label", j->data.label ? json_of_string(j->data.label) : texts(&j->data.label_columns));
    json_set(o, "labels", label_list(r));
    json_set(o, "dropped_labels", json_copy(json_get(r->check, "dropped_labels")));
    json_set_string(o, "label_separator", j->data.label_separator);
    if (strcmp(j->data.label_form, "auto") != 0)
        json_set_string(o, "label_form", j->data.label_form);
    json_set_boolean(o, "multi", j->multi);
    if (r->kind == DECISION_BINARY)
        json_set_string(o, "positive", r->label_names[r->positive]);
    return o;
}

/* The thresholds that decide: one of two labels; one for all and each label's own; none where the most probable class is taken.
 */
static void add_thresholds(struct json *to, const struct run *r)
{
    if (r->kind == DECISION_CLASS)
        return;
    json_set_number(to, "threshold", r->threshold);
    if (r->kind != DECISION_LABELS)
        return;
    struct json *each = json_set(to, "thresholds", json_object());
    for (uint32_t l = 0; l < r->labels; l++)
        json_set_number(each, r->label_names[l], r->thresholds[l]);
}

static struct json *part(const struct run *r, const struct part_metrics *p)
{
    struct json *o = metrics_to_json(&p->metrics);
    if (r->kind != DECISION_BINARY) {
        averages_to_json(o, &p->all);
        json_set_number(o, "accuracy", p->all.accuracy);
    }
    json_set_number(o, "rows", p->rows);
    json_set_number(o, "loss", p->loss);
    return o;
}

struct json *inference_config(const struct run *r)
{
    const struct job *j = r->job;
    const struct trial_run *t = &r->trials[r->order[0]];
    struct json *o = json_object();
    json_set_string(o, "name", j->name);
    json_set_string(o, "task", j->task);
    add_thresholds(o, r);
    decide_temperatures(o, r);
    struct json *rule = json_set(o, "rule", threshold_grid_to_json(&j->tune.grid));
    json_set_string(rule, "per", j->tune.per);
    if (r->kind == DECISION_BINARY)
        json_set_string(o, "positive", r->label_names[r->positive]);
    json_set(o, "input", input(r));
    json_set_number(o, "max_length", j->train.max_length);
    json_set_string(o, "truncation", truncation_names[j->train.truncation]);
    json_set_string(o, "model_name", j->model);
    json_set_string(o, "trial", t->key);
    json_set_number(o, "learning_rate", t->job.train.lr);
    json_set_number(o, "num_epochs", t->job.train.epochs);
    json_set_number(o, "best_epoch", t->best_epoch);
    json_set_number(o, "batch_size", t->job.train.batch);
    json_set_number(o, "seed", (double)j->seed);
    json_set(o, "options", json_copy(t->options));
    struct json *metrics = json_set(o, "metrics", json_object());
    json_set(metrics, "validation", part(r, &r->final.validation));
    json_set(metrics, "test", part(r, &r->final.test));
    json_set_string(o, "data_sha256", dataset_sha256(r->data));
    json_set_string(o, "split_sha256", r->split.sha256);
    json_set_string(o, "split_method", r->split.method);
    struct json *fingerprints = json_set(o, "fingerprints", json_object());
    for (int p = 0; p < PART_COUNT; p++)
        json_set_string(fingerprints, part_names[p], r->split.fingerprint[p]);
    json_set_string(o, "trial_sha256", t->identity);
    struct json *versions = json_set(o, "versions", json_object());
    json_set_string(versions, "muster", MUSTER_VERSION);
    return o;
}
