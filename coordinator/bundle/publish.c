/* SPDX-License-Identifier: Apache-2.0 */
/* The making of a bundle. */
#include "coordinator/bundle/publish.h"

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/base/sha256.h"
#include "common/format/bundle.h"
#include "common/format/zip.h"
#include "coordinator/bundle/adapter.h"
#include "coordinator/bundle/evidence.h"
#include "coordinator/bundle/inference.h"
#include "coordinator/bundle/model_card.h"
#include "coordinator/events/event_log.h"

#include <stdlib.h>
#include <string.h>

static void add_history(struct json *inference)
{
    static const char *const kept[] = {"threshold", "thresholds", "temperature", "temperatures"};
    char time[32];
    struct json *entry = json_append(json_set(inference, "history", json_array()), json_object());
    clock_timestamp(time, sizeof time);
    json_set_string(entry, "time", time);
    json_set_string(entry, "event", "published");
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++)
        if (json_get(inference, kept[i]))
            json_set(entry, kept[i], json_copy(json_get(inference, kept[i])));
}

/* With the adapter, where it is published. */
static int write_parts(const char *path, struct bundle_parts *parts, const struct bundle_source *s, struct error *e)
{
    char *evaluation = NULL, *adapter = NULL;
    struct adapter_files files = {0};
    int status = s->score->logits ? evidence_text(&evaluation, s, e) : 0;
    if (status == 0 && adapter_is_published(s))
        status = adapter_describe(&files, s, e);
    parts->evaluation = evaluation;
    if (files.config)
        parts->adapter = adapter = path_join(s->trial->directory, "adapter.safetensors");
    parts->adapter_config = files.config;
    parts->adapter_base = files.base;
    parts->adapter_card = files.readme;
    if (status == 0)
        status = bundle_write(path, parts, e);
    adapter_files_free(&files);
    free(adapter);
    free(evaluation);
    return status;
}

static int write_bundle(const char *path, const struct bundle_source *s, const struct json *inference, struct error *e)
{
    const struct trial_run *t = s->trial;
    struct model_config model;
    struct tokenizer *tokenizer;
    if (model_config_read(&model, s->place->model, e) != 0 || tokenizer_open(&tokenizer, s->place->model, e) != 0)
        return -1;
    model.labels = s->data->labels;
    if (t->job.train.dropout >= 0)
        model_config_set_dropout(&model, (float)t->job.train.dropout);
    struct json *whole = json_copy(inference);
    add_history(whole);
    char *card = model_card(s);
    struct training_rows *known;
    struct split seen = s->data->split; /* borrowed */
    if (s->data->fold_of)
        seen.part[PART_VALIDATION].count = 0; /* they are the rows of train */
    training_rows_make(&known, s->data->data, &seen);
    struct bundle_parts parts = {.weights = adapter_is_separate(s) ? NULL : t->weights,
                                 .model_directory = s->place->model,
                                 .model = &model,
                                 .label_names = s->data->label_names,
                                 .multi = s->place->job->multi,
                                 .tokenizer = tokenizer,
                                 .inference = whole,
                                 .card = card,
                                 .known = known};
    int status = write_parts(path, &parts, s, e);
    training_rows_destroy(&known);
    free(card);
    json_destroy(&whole);
    tokenizer_close(&tokenizer);
    return status;
}

static bool same_json(const struct json *a, const struct json *b)
{
    char *x = json_print(a, false), *y = json_print(b, false);
    bool same = strcmp(x, y) == 0;
    free(x);
    free(y);
    return same;
}

/* Whether a bundle of an older muster says what this one would: that hash was also of the words of the comparison. */
static bool says_the_same(const struct json *published, const struct json *inference)
{
    for (size_t i = 0; i < json_size(inference); i++) {
        const char *key = json_key(inference, i);
        const struct json *there = json_get(published, key);
        if (strcmp(key, "versions") != 0 && (!there || !same_json(there, json_at(inference, i))))
            return false;
    }
    return true;
}

static bool is_published(const struct bundle_source *s, const struct json *inference, const char *hash, const char *path,
                         const char *zip)
{
    const struct json *event = event_log_last(s->place->log, "stage_done", "stage", "publish");
    const char *made_from = json_string(json_get(event, "made_from"));
    struct bundle *bundle;
    struct error ignored;
    if (!made_from || !file_exists(zip) || bundle_open(&bundle, path, &ignored) != 0)
        return false;
    bool same =
        strcmp(made_from, hash) == 0 || (!json_get(event, "comparison") && says_the_same(bundle_inference(bundle), inference));
    bundle_close(&bundle);
    return same;
}

static int remember(const struct bundle_source *s, const char *hash, struct error *e)
{
    struct json *event = json_object();
    json_set_string(event, "stage", "publish");
    json_set_string(event, "made_from", hash);
    json_set_boolean(event, "comparison", s->comparison != NULL);
    json_set_string(event, "trial", s->trial->key);
    json_set(event, "threshold", json_of_number(s->decision->threshold));
    return event_log_append(s->place->log, "stage_done", event, e);
}

int publish(const struct bundle_source *s, bool *made, struct error *e)
{
    char hash[SHA256_HEX], *path = path_join(s->place->directory, "bundle"),
                           *zip = format_string("%s/%s.zip", s->place->directory, s->place->job->name);
    struct json *inference = inference_config(s);
    if (adapter_is_published(s))
        json_set_string(inference, "adapter", BUNDLE_ADAPTER);
    if (adapter_is_separate(s))
        json_set_string(inference, "weights", BUNDLE_ADAPTER);
    char *printed = json_print(inference, false),
         *text = format_string("%s%s%s", printed, s->comparison ? s->comparison : "", s->configurations ? s->configurations : "");
    int status = 0;
    sha256_bytes(text, strlen(text), hash);
    free(printed);
    bool there = is_published(s, inference, hash, path, zip);
    if (!there && (write_bundle(path, s, inference, e) != 0 || zip_directory(zip, path, s->place->job->name, e) != 0 ||
                   remember(s, hash, e) != 0))
        status = -1;
    if (status == 0)
        *made = !there;
    free(text);
    json_destroy(&inference);
    free(zip);
    free(path);
    return status;
}
