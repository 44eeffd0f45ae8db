/* SPDX-License-Identifier: Apache-2.0 */
/* The question to the worker. */
#include "coordinator/memory_estimate.h"

#include "cluster/launcher.h"
#include "cluster/local_device.h"
#include "common/base/device_kind.h"
#include "common/base/memory.h"
#include "common/base/precision.h"
#include "common/base/process.h"
#include "common/base/tf32.h"
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

static bool ask(struct memory_estimate *ret, const char *trial, int ranks)
{
    char *worker = NULL, line[64];
    struct error ignored;
    struct memory_estimate m;
    if (launcher_worker_path(&worker, &ignored) != 0)
        return false;
    char *count = format_string("%d", ranks);
    char *const words[] = {worker, (char[]){"memory"}, (char *)(uintptr_t)trial, count, NULL};
    bool known = output_of(line, sizeof line, words) && sscanf(line, "%zu %zu", &m.weights, &m.activations) == 2;
    free(count);
    free(worker);
    if (known)
        *ret = m;
    return known;
}

bool memory_estimate_ask(struct memory_estimate *ret, const struct trial *t, int ranks)
{
    struct json *object = trial_to_json(t);
    char *text = json_print(object, false);
    json_destroy(&object);
    bool known = ask(ret, text, ranks);
    free(text);
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

/* Workers may take a GPU of this machine. On others they say themselves what they find. */
static bool may_take_gpu(const struct dispatch_options *o)
{
    bool here = o->launcher == LAUNCHER_LOCAL || o->launcher == LAUNCHER_ATTACHED;
    return here && (o->device == DEVICE_AUTO || o->device == DEVICE_CUDA);
}

/* Elsewhere, and in a sweep, the workers refuse it. */
static int check_precision(const struct local_device *d, const struct dispatch_options *o, const char *precision, struct error *e)
{
    bool cpu = o->device == DEVICE_CPU || (o->device == DEVICE_AUTO && *d->text && !d->memory);
    if (!cpu || strcmp(precision, precision_names[PRECISION_TF32]))
        return 0;
    return tf32_refuse("cpu", e);
}

/* One start of the worker, which also says what computes. */
static int ask_with_device(struct local_device *ret, const struct dispatch_options *o, const char *trial, struct error *e)
{
    int processes = o->ranks_on_host ? o->ranks_on_host : o->groups * o->ranks_per_group;
    if (local_device_ask(ret, device_names[o->device], processes, trial, o->ranks_per_group, e))
        return -1;
    if (ret->memory)
        printf("  device: %s%s, %.1f GB free\n", o->device == DEVICE_AUTO ? "auto takes " : "", ret->text,
               1e-9 * (double)ret->left);
    return 0;
}

int memory_estimate_print(const struct run_place *place, const struct run_data *data, const struct dispatch_options *workers,
                          bool again, struct error *e)
{
    struct memory_estimate m = {0};
    struct local_device device = {0};
    int status = 0;
    if (workers->device == DEVICE_FAKE)
        return 0;
    char *trial = trial_message(place, data);
    if (!again && may_take_gpu(workers)) {
        status = ask_with_device(&device, workers, trial, e);
        m = (struct memory_estimate){device.weights, device.activations};
    } else {
        ask(&m, trial, workers->ranks_per_group);
    }
    free(trial);
    if (status || check_precision(&device, workers, place->job->train.precision, e))
        return -1;
    if (m.weights)
        printf("  memory a rank: at most %.0f MB; weights, moments and gradients %.0f MB, activations %.0f MB (train.micro_batch "
               "%u)\n",
               1e-6 * (double)(m.weights + m.activations), 1e-6 * (double)m.weights, 1e-6 * (double)m.activations,
               place->job->train.micro_batch);
    return 0;
}
