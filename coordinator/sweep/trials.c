/* SPDX-License-Identifier: Apache-2.0 */
/* What a trial is made from, what is left of it from before, and its leases. */
#include "coordinator/sweep/trials.h"

#include "common/base/device_kind.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/base/sha256.h"
#include "common/format/model_config.h"
#include "common/format/peft.h"
#include "common/format/weights_index.h"
#include "coordinator/data/split.h"
#include "coordinator/events/event_log.h"
#include "coordinator/job/job_variant.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *trials_path(const struct run_place *place, const char *key)
{
    return format_string("%s/trials/%s", place->directory, key);
}

/* ---- identity: a trial made from other things is another trial ---- */

static void hash_both(char text[SHA256_HEX], const char *config, const char *weights)
{
    char both[2 * SHA256_HEX];
    snprintf(both, sizeof both, "%s %s", config, weights);
    sha256_bytes(both, strlen(both), text);
}

static int hash_model(char text[SHA256_HEX], char weights[SHA256_HEX], const char *directory, struct error *e)
{
    char config[SHA256_HEX], *path = path_join(directory, "config.json"), *weights_path = NULL;
    int status = sha256_file(path, config, e);
    if (status == 0)
        status = model_directory_weights(&weights_path, directory, e);
    if (status == 0)
        status = weights_sha256(weights_path, weights, e);
    if (status == 0)
        hash_both(text, config, weights);
    free(path);
    free(weights_path);
    return status;
}

/* Of the adapter that training goes on from; empty: none. */
static int hash_adapter(char text[SHA256_HEX], const char *directory, struct error *e)
{
    char config[SHA256_HEX], weights[SHA256_HEX], *path = NULL, *about;
    text[0] = 0;
    if (!directory)
        return 0;
    about = path_join(directory, PEFT_CONFIG);
    int status = sha256_file(about, config, e) || peft_weights(&path, directory, e) || sha256_file(path, weights, e) ? -1 : 0;
    if (status == 0)
        hash_both(text, config, weights);
    free(path);
    free(about);
    return status;
}

static void identify(struct trial_run *t, const struct run_data *data, const char *model, const char *adapter)
{
    struct json *made_from = json_object();
    json_set(made_from, "options", job_train_options(&t->job));
    json_set_number(made_from, "seed", (double)t->job.seed);
    json_set_string(made_from, "data", dataset_sha256(data->data));
    json_set_string(made_from, "split", data->split.sha256);
    json_set_string(made_from, "model", model);
    if (*adapter)
        json_set_string(made_from, "adapter", adapter);
    struct json *weights = json_set(made_from, "class_weights", json_array());
    for (uint32_t c = 0; c < data->labels; c++)
        json_append(weights, json_of_number(t->class_weights[c]));
    if (data->head.made_new)
        json_set_string(made_from, "head", "new");
    if (data->head.rows) {
        struct json *rows = json_set(made_from, "head", json_array());
        for (uint32_t c = 0; c < data->labels; c++)
            json_append(rows, json_of_number(data->head.rows[c]));
    }
    if (t->last_epoch > 0)
        json_set_number(made_from, "last_epoch", t->last_epoch);
    if (device_kind_find(t->job.cluster.device) == DEVICE_FAKE) /* of the others each may take up what another left */
        json_set_string(made_from, "device", "fake");
    char *text = json_print(made_from, false);
    sha256_bytes(text, strlen(text), t->identity);
    memcpy(t->weights_identity, t->identity, sizeof t->identity);
    free(text);
    json_destroy(&made_from);
}

/* ---- what events.jsonl knows: trial_started and trial_finished are ours, the rest of a trial's life is dispatch's ---- */

const struct json *trials_event(const struct run_place *place, const struct trial_run *t, const char *event)
{
    const struct json *found = event_log_last(place->log, event, "trial", t->key);
    const char *identity = json_string(json_get(found, "identity"));
    return identity && strcmp(identity, t->identity) == 0 ? found : NULL;
}

int trials_score_epochs(struct trial_run *t, const struct run_data *data, uint32_t count, struct error *e)
{
    if (t->last_epoch > 0)
        return 0;
    struct epoch_score *epochs = allocate(count, sizeof *epochs);
    for (uint32_t i = 0; i < count; i++)
        if (validation_score_epoch(&epochs[i], data->validation, t->logits, i + 1, NULL, e) != 0) {
            free(epochs);
            return -1;
        }
    free(t->epochs);
    t->epochs = epochs;
    return 0;
}

/* The last end of the trial, trial_finished or trial_pruned; NULL: it has not ended, or was made from other things. */
static const struct json *end_of(const struct run_place *place, const struct trial_run *t)
{
    static const char *const ends[] = {"trial_finished", "trial_pruned", NULL};
    const struct json *event = event_log_last_of(place->log, ends, "trial", t->key);
    const char *identity = json_string(json_get(event, "identity"));
    return identity && strcmp(identity, t->identity) == 0 ? event : NULL;
}

/* A trial whose end is in the log is done, if its logits and weights are still what was left. Otherwise its directory goes: the
 * checkpoint in it would go on behind what is spoilt. */
static int take_up(struct trial_run *t, const struct run_place *place, const struct run_data *data, struct error *e)
{
    const struct json *done = end_of(place, t);
    struct error why = {0};
    if (!done)
        return 0;
    const char *pruned = json_string(json_get(done, "why"));
    char *weights =
        path_join(place->directory, json_string(json_get(done, "weights")) ? json_string(json_get(done, "weights")) : "");
    uint32_t epochs = (uint32_t)json_number(json_get(done, "epochs_done")),
             best = (uint32_t)json_number(json_get(done, "best_epoch"));
    if (!pruned && !file_exists(weights))
        error_set(&why, ERROR_DATA, "%s: is gone", weights);
    if (why.kind || epochs == 0 || best == 0 || best > epochs || trials_score_epochs(t, data, epochs, &why) != 0) {
        log_warn("trial %s is trained again: %s", t->key, why.kind ? why.message : "its record is damaged");
        free(weights);
        return directory_remove(t->directory, e);
    }
    t->state = pruned ? TRIAL_PRUNED : TRIAL_DONE;
    t->why = duplicate(pruned);
    t->epochs_done = epochs;
    t->best_epoch = best;
    t->weights = weights;
    t->steps = (uint64_t)json_number(json_get(done, "steps"));
    t->tokens = (uint64_t)json_number(json_get(done, "tokens"));
    t->seconds = json_number(json_get(done, "seconds"));
    return 0;
}

/* A directory that another trial of this name left (another model, another split) is not resumed from; nor is it thrown away. */
static int check_directory(const struct trial_run *t, const struct run_place *place, struct error *e)
{
    if (!directory_exists(t->directory) || trials_event(place, t, "trial_started"))
        return 0;
    return error_set(e, ERROR_USAGE,
                     "%s: was made from another model, split or kind of device than this run's, or by another version of muster; "
                     "use another out=DIRECTORY, or remove that directory to train the trial anew",
                     t->directory);
}

/* W5: clip(negative / positive, low, high) of the train part. */
static void positive_weights(double *weights, const struct run_data *data, const struct job *j)
{
    double rows = data->split.part[PART_TRAIN].count, low = j->train.pos_weight_low, high = j->train.pos_weight_high;
    if (low > 0)
        data_label_counts(weights, data->data, &data->split);
    for (uint32_t l = 0; l < data->labels; l++) {
        double weight = weights[l] > 0 ? (rows - weights[l]) / weights[l] : high;
        weights[l] = low > 0 ? fmin(fmax(weight, low), high) : 1;
    }
}

int trials_prepare(struct trials *trials, const struct run_place *place, const struct run_data *data, struct error *e)
{
    char model[SHA256_HEX], weights[SHA256_HEX], adapter[SHA256_HEX];
    if (hash_model(model, weights, place->model, e) != 0 || hash_adapter(adapter, place->job->adapter, e) != 0)
        return -1;
    for (size_t i = 0; i < trials->count; i++) {
        struct trial_run *t = &trials->list[i];
        const struct run_data *own = t->data ? t->data : data;
        t->class_weights = allocate(data->labels, sizeof(double));
        if (t->job.multi)
            positive_weights(t->class_weights, own, &t->job);
        else if (data_class_weights(t->class_weights, &t->job, own->data, &own->split, own->check, e) != 0)
            return -1;
        if (strcmp(t->job.train.head_bias, "shares") == 0) {
            t->head_bias = allocate(data->labels, sizeof(double));
            data_head_bias(t->head_bias, &t->job, own->data, &own->split, t->class_weights);
        }
        t->directory = trials_path(place, t->key);
        t->logits = path_join(t->directory, "logits.h5");
        identify(t, own, model, adapter);
        memcpy(t->model_sha256, weights, sizeof t->model_sha256);
        if (!t->gathered && (check_directory(t, place, e) != 0 || take_up(t, place, own, e) != 0))
            return -1;
    }
    return 0;
}

/* ---- leases ---- */

/* What of the model is trained; a score needs its weights alone. */
static void add_tuning(struct trial *t, const struct job *j)
{
    t->layer_decay = j->train.layer_decay;
    t->freeze = job_freeze(j);
    t->checkpointing = j->train.checkpointing;
    if (!job_is_lora(j))
        return;
    t->lora_rank = j->train.lora_r;
    t->lora_alpha = j->train.lora_alpha;
    t->lora_dropout = j->train.lora_dropout;
    t->lora_rslora = j->train.lora_rslora;
    t->lora_freeze_head = !j->train.lora_train_head;
    t->lora_bias = job_lora_bias(j);
    t->lora_targets = job_lora_targets(j);
}

/* NULL of NULL. */
static double *copy_values(const double *values, uint32_t count)
{
    double *ret = values ? allocate(count, sizeof *ret) : NULL;
    if (ret)
        memcpy(ret, values, count * sizeof *ret);
    return ret;
}

void trials_lease(struct trial *ret, const struct run_place *place, const struct run_data *data, const struct trial_run *t,
                  bool score)
{
    const struct job *j = &t->job;
    char *score_key = format_string("score-%s", t->key);
    *ret = (struct trial){.kind = score ? TRIAL_SCORE : TRIAL_TRAIN,
                          .key = duplicate(score ? score_key : t->key),
                          .directory = score ? trials_path(place, score_key) : duplicate(t->directory),
                          .dataset = duplicate(data->rows_path),
                          .split = duplicate(data->split_path),
                          .model = duplicate(place->model),
                          .weights = score ? duplicate(t->weights) : NULL,
                          .adapter = score || !j->adapter ? NULL : path_absolute(j->adapter),
                          .score_validation = score && !data->fold_of,
                          .score_test = score,
                          .multi = j->multi,
                          .labels = data->labels,
                          .new_head = !score && data->head.made_new,
                          .seed = j->seed,
                          .lr = j->train.lr,
                          .weight_decay = j->train.weight_decay,
                          .clip = j->train.clip,
                          .warmup = j->train.warmup,
                          .schedule = schedule_kind_find(j->train.schedule),
                          .label_smoothing = j->train.label_smoothing,
                          .focal_gamma = job_is_focal(j) ? j->train.focal_gamma : 0,
                          .dropout = j->train.dropout,
                          .epochs = j->train.epochs,
                          .batch = j->train.batch,
                          .micro_batch = j->train.micro_batch,
                          .max_length = j->train.max_length,
                          .resume = !score,
                          .checkpoint_steps = j->train.checkpoint_steps,
                          .checkpoint_minutes = j->train.checkpoint_minutes};
    if (!score)
        add_tuning(ret, j);
    ret->weights_by_class = copy_values(t->class_weights, data->labels);
    ret->head_rows = score ? NULL : copy_values(data->head.rows, data->labels);
    ret->head_bias = score ? NULL : copy_values(t->head_bias, data->labels);
    snprintf(ret->precision, sizeof ret->precision, "%s", j->train.precision);
    free(score_key);
}

struct candidate trials_candidate(const struct trial_run *t)
{
    return (struct candidate){t->key, t->logits, t->best_epoch, t->baseline, t->state, t->configuration};
}
