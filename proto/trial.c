/* SPDX-License-Identifier: Apache-2.0 */
/* The table of a trial's fields. */
#include "proto/trial.h"

#include "proto/fields.h"

#include <stddef.h>

#define PATH_MOST 4096.0
#define ROWS_MOST 4294967295.0

static const char *const kind_names[] = {"train", "score", NULL};

#define FIELD(member, ...)                                                                                                       \
    {                                                                                                                            \
        .name = #member, .offset = offsetof(struct trial, member), __VA_ARGS__                                                   \
    }

const struct record_field trial_fields[] = {
    FIELD(kind, .type = RECORD_CHOICE, .detail = kind_names),
    FIELD(key, .type = RECORD_STRING, .min = 1, .max = 255),
    FIELD(directory, .type = RECORD_STRING, .min = 1, .max = PATH_MOST),
    FIELD(dataset, .type = RECORD_STRING, .min = 1, .max = PATH_MOST),
    FIELD(split, .type = RECORD_STRING, .max = PATH_MOST, .flags = RECORD_OPTIONAL),
    FIELD(model, .type = RECORD_STRING, .min = 1, .max = PATH_MOST),
    FIELD(weights, .type = RECORD_STRING, .max = PATH_MOST, .flags = RECORD_OPTIONAL),
    FIELD(adapter, .type = RECORD_STRING, .max = PATH_MOST, .flags = RECORD_OPTIONAL),
    FIELD(score_train, .type = RECORD_BOOLEAN),
    FIELD(score_validation, .type = RECORD_BOOLEAN),
    FIELD(score_test, .type = RECORD_BOOLEAN),
    FIELD(multi, .type = RECORD_BOOLEAN),
    FIELD(labels, .type = RECORD_U32, .min = 1, .max = 1e6),
    FIELD(weights_by_class, .type = RECORD_LIST, .flags = RECORD_OPTIONAL, .min = 0, .max = 1e12,
          .count = offsetof(struct trial, labels)),
    FIELD(new_head, .type = RECORD_BOOLEAN, .flags = RECORD_OPTIONAL),
    FIELD(head_rows, .type = RECORD_LIST, .flags = RECORD_OPTIONAL, .min = 0, .max = 1e6,
          .count = offsetof(struct trial, labels)),
    FIELD(head_bias, .type = RECORD_LIST, .flags = RECORD_OPTIONAL, .min = -1e3, .max = 1e3,
          .count = offsetof(struct trial, labels)),
    FIELD(seed, .type = RECORD_U64),
    FIELD(lr, .type = RECORD_DOUBLE, .min = 0, .max = 1e3),
    FIELD(weight_decay, .type = RECORD_DOUBLE, .min = 0, .max = 1e3),
    FIELD(clip, .type = RECORD_DOUBLE, .min = 0, .max = 1e12),
    FIELD(warmup, .type = RECORD_DOUBLE, .min = 0, .max = 1),
    FIELD(schedule, .type = RECORD_CHOICE, .detail = schedule_names, .flags = RECORD_OPTIONAL),
    FIELD(layer_decay, .type = RECORD_DOUBLE, .min = 0, .max = 1, .flags = RECORD_OPTIONAL),
    FIELD(freeze, .type = RECORD_STRING, .max = PATH_MOST, .flags = RECORD_OPTIONAL),
    FIELD(lora_rank, .type = RECORD_U32, .max = 65536, .flags = RECORD_OPTIONAL),
    FIELD(lora_alpha, .type = RECORD_DOUBLE, .min = 0, .max = 1e6, .flags = RECORD_OPTIONAL),
    FIELD(lora_dropout, .type = RECORD_DOUBLE, .min = 0, .max = 1, .flags = RECORD_OPTIONAL),
    FIELD(lora_rslora, .type = RECORD_BOOLEAN, .flags = RECORD_OPTIONAL),
    FIELD(lora_freeze_head, .type = RECORD_BOOLEAN, .flags = RECORD_OPTIONAL),
    FIELD(lora_bias, .type = RECORD_CHOICE, .detail = lora_bias_names, .flags = RECORD_OPTIONAL),
    FIELD(lora_targets, .type = RECORD_STRING, .max = PATH_MOST, .flags = RECORD_OPTIONAL),
    FIELD(checkpointing, .type = RECORD_BOOLEAN, .flags = RECORD_OPTIONAL),
    FIELD(label_smoothing, .type = RECORD_DOUBLE, .min = 0, .max = 0.999999, .flags = RECORD_OPTIONAL),
    FIELD(focal_gamma, .type = RECORD_DOUBLE, .min = 0, .max = 1e3, .flags = RECORD_OPTIONAL),
    FIELD(dropout, .type = RECORD_DOUBLE, .min = -1, .max = 1),
    FIELD(epochs, .type = RECORD_U32, .min = 0, .max = 65535),
    FIELD(batch, .type = RECORD_U32, .min = 0, .max = ROWS_MOST),
    FIELD(micro_batch, .type = RECORD_U32, .min = 0, .max = ROWS_MOST),
    FIELD(max_length, .type = RECORD_U32, .min = 0, .max = 1e6),
    FIELD(precision, .type = RECORD_WORD, .min = 1, .max = 7),
    FIELD(resume, .type = RECORD_INT, .min = 0, .max = 1),
    FIELD(checkpoint_steps, .type = RECORD_U32, .max = ROWS_MOST),
    FIELD(checkpoint_minutes, .type = RECORD_DOUBLE, .min = 0, .max = 1e6),
    {0},
};

void trial_free(struct trial *t)
{
    record_free(trial_fields, t);
}

struct json *trial_to_json(const struct trial *t)
{
    return record_to_json(trial_fields, t);
}

int trial_from_json(struct trial *ret, const struct json *j, struct error *e)
{
    struct trial t = {0};
    if (record_from_json(&t, trial_fields, j, NULL, e))
        return error_prefix(e, "trial: ");
    *ret = t;
    return 0;
}
