/* SPDX-License-Identifier: Apache-2.0 */
/* The question to the worker. */
#include "coordinator/memory_estimate.h"

#include "cluster/launcher.h"
#include "common/base/memory.h"
#include "common/base/process.h"
#include "coordinator/job/job_variant.h"
#include "proto/trial.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the program prints in its first `size` bytes; false if it fails. */
static bool output_of(char *line, size_t size, char *const *words)
{
    struct buffer output;
    int status;
    struct error ignored;
    if (process_run(&output, size - 1, &status, words, &(struct process_options){.flags = PROCESS_QUIET}, &ignored) != 0)
        return false;
    snprintf(line, size, "%s", output.data);
    buffer_free(&output);
    return status == 0;
}

bool memory_estimate_ask(struct memory_estimate *ret, const struct trial *t, int ranks)
{
    char *worker = NULL, line[64];
    struct error ignored;
    struct memory_estimate m;
    if (launcher_worker_path(&worker, &ignored) != 0)
        return false;
    struct json *object = trial_to_json(t);
    char *text = json_print(object, false), *count = format_string("%d", ranks);
    char *const words[] = {worker, "memory", text, count, NULL};
    bool known = output_of(line, sizeof line, words) && sscanf(line, "%zu %zu", &m.weights, &m.activations) == 2;
    free(count);
    free(text);
    json_destroy(&object);
    free(worker);
    if (known)
        *ret = m;
    return known;
}

static char *trial_message(const struct run_place *place, const struct run_data *data)
{
    const struct job *j = place->job;
    struct trial t = {.kind = TRIAL_TRAIN,
                      .key = duplicate("baseline"),
                      .directory = duplicate(place->directory),
                      .dataset = duplicate(data->rows_path),
                      .model = duplicate(place->model),
                      .multi = j->multi,
                      .labels = dataset_labels(data->data),
                      .dropout = -1,
                      .freeze = job_freeze(j),
                      .lora_rank = job_is_lora(j) ? j->train.lora_r : 0,
                      .lora_alpha = j->train.lora_alpha,
                      .lora_bias = job_lora_bias(j),
                      .lora_targets = job_lora_targets(j),
                      .lora_freeze_head = !j->train.lora_train_head,
                      .checkpointing = j->train.checkpointing,
                      .epochs = j->train.epochs,
                      .batch = j->train.batch,
                      .micro_batch = j->train.micro_batch,
                      .max_length = j->train.max_length};
    snprintf(t.precision, sizeof t.precision, "%s", j->train.precision);
    struct json *object = trial_to_json(&t);
    trial_free(&t);
    char *text = json_print(object, false);
    json_destroy(&object);
    return text;
}

void memory_estimate_print(const struct run_place *place, const struct run_data *data, const struct dispatch_options *workers)
{
    char *worker = NULL, line[64];
    struct error ignored;
    if (workers->device == DEVICE_FAKE || launcher_worker_path(&worker, &ignored) != 0)
        return;
    size_t weights, activations;
    char *text = trial_message(place, data), *ranks = format_string("%d", workers->ranks_per_group);
    char *const words[] = {worker, "memory", text, ranks, NULL};
    if (output_of(line, sizeof line, words) && sscanf(line, "%zu %zu", &weights, &activations) == 2)
        printf("  memory a rank: at most %.0f MB; weights, moments and gradients %.0f MB, activations %.0f MB (train.micro_batch "
               "%u)\n",
               1e-6 * (double)(weights + activations), 1e-6 * (double)weights, 1e-6 * (double)activations,
               place->job->train.micro_batch);
    free(ranks);
    free(text);
    free(worker);
}
