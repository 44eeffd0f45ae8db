/* SPDX-License-Identifier: Apache-2.0 */
/* All that predicting needs beyond the weights, and what the numbers rest on. */
#include "coordinator/bundle/inference.h"

#include "common/base/version.h"

#include <string.h>

static struct json *texts(const struct text_fields *f)
{
    struct json *list = json_array();
    for (size_t i = 0; i < f->count; i++)
        json_append(list, json_of_string(f->names[i]));
    return list;
}

static struct json *label_list(const struct bundle_source *s)
{
    struct json *list = json_array();
    for (uint32_t c = 0; c < s->data->labels; c++)
        json_append(list, json_of_string(s->data->label_names[c]));
    return list;
}

/* How a row becomes text A and text B. */
static struct json *input(const struct bundle_source *s)
{
    const struct job *j = s->place->job;
    struct json *o = json_object();
    json_set(o, "text_a", texts(&j->data.text_a));
    json_set(o, "text_b", texts(&j->data.text_b));
    if (j->data.word_limits)
        json_set(o, "word_limits", json_copy(j->data.word_limits));
    json_set_string(o, "joiner", j->data.joiner);
    json_set(o, "required", texts(&j->data.required));
    json_set_string(o, "id", j->data.id);
    json_set(o, "label", j->data.label ? json_of_string(j->data.label) : texts(&j->data.label_columns));
    json_set(o, "labels", label_list(s));
    json_set(o, "dropped_labels", json_copy(json_get(s->data->check, "dropped_labels")));
    json_set_string(o, "label_separator", j->data.label_separator);
    if (strcmp(j->data.label_form, "auto") != 0)
        json_set_string(o, "label_form", j->data.label_form);
    json_set_boolean(o, "multi", j->multi);
    if (s->data->kind == DECISION_BINARY)
        json_set_string(o, "positive", s->data->label_names[s->data->positive]);
    return o;
}

/* The thresholds that decide: one of two labels; one for all and each label's own; none where the most probable class is taken.
 */
static void add_thresholds(struct json *to, const struct bundle_source *s)
{
    if (s->data->kind == DECISION_CLASS)
        return;
    json_set_number(to, "threshold", s->decision->threshold);
    if (s->data->kind != DECISION_LABELS)
        return;
    struct json *each = json_set(to, "thresholds", json_object());
    for (uint32_t l = 0; l < s->data->labels; l++)
        json_set_number(each, s->data->label_names[l], s->decision->thresholds[l]);
}

static struct json *part(enum decision_kind kind, const struct part_metrics *p)
{
    struct json *o = metrics_to_json(&p->metrics);
    if (kind != DECISION_BINARY) {
        averages_to_json(o, &p->all);
        json_set_number(o, "accuracy", p->all.accuracy);
    }
    json_set_number(o, "rows", p->rows);
    json_set_number(o, "loss", p->loss);
    return o;
}

static void add_training(struct json *o, const struct bundle_source *s)
{
    const struct job *j = s->place->job;
    const struct trial_run *t = s->trial;
    json_set_string(o, "model_name", j->model);
    json_set_string(o, "trial", t->key);
    json_set_number(o, "learning_rate", t->job.train.lr);
    json_set_number(o, "num_epochs", t->job.train.epochs);
    json_set_number(o, "best_epoch", t->best_epoch);
    json_set_number(o, "batch_size", t->job.train.batch);
    json_set_number(o, "seed", (double)j->seed);
    json_set(o, "options", json_copy(t->options));
}

static void add_provenance(struct json *o, const struct bundle_source *s)
{
    json_set_string(o, "data_sha256", dataset_sha256(s->data->data));
    json_set_string(o, "split_sha256", s->data->split.sha256);
    json_set_string(o, "split_method", s->data->split.method);
    struct json *fingerprints = json_set(o, "fingerprints", json_object());
    for (int p = 0; p < PART_COUNT; p++)
        if (s->data->split.fingerprint[p][0])
            json_set_string(fingerprints, part_names[p], s->data->split.fingerprint[p]);
    if (s->origin) {
        struct json *folds = json_set(o, "cross_validation", json_object());
        json_set_number(folds, "folds", s->data->fold_count);
        json_set_string(folds, "weights", s->origin);
    }
    json_set_string(o, "trial_sha256", s->trial->weights_identity);
}

struct json *inference_config(const struct bundle_source *s)
{
    const struct job *j = s->place->job;
    struct json *o = json_object();
    json_set_string(o, "name", j->name);
    json_set_string(o, "task", j->task);
    add_thresholds(o, s);
    decision_temperatures_to_json(o, s->decision, s->data->label_names, s->data->labels);
    struct json *rule = json_set(o, "rule", threshold_grid_to_json(&j->tune.grid));
    json_set_string(rule, "per", j->tune.per);
    if (s->data->kind == DECISION_BINARY)
        json_set_string(o, "positive", s->data->label_names[s->data->positive]);
    json_set(o, "input", input(s));
    json_set_number(o, "max_length", j->train.max_length);
    json_set_string(o, "truncation", truncation_names[j->train.truncation]);
    add_training(o, s);
    struct json *metrics = json_set(o, "metrics", json_object());
    json_set(metrics, "validation", part(s->data->kind, &s->score->validation));
    json_set(metrics, "test", part(s->data->kind, &s->score->test));
    add_provenance(o, s);
    struct json *versions = json_set(o, "versions", json_object());
    json_set_string(versions, "muster", MUSTER_VERSION);
    return o;
}
