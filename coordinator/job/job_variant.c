/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/job/job_variant.h"

#include "common/base/buffer.h"
#include "common/base/memory.h"
#include "coordinator/job/job_fields.h"
#include "coordinator/job/job_sweep.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void job_derive_micro_batch(struct job *j)
{
    uint32_t share = j->train.batch / j->cluster.ranks_per_group;
    if (j->train.micro_batch_follows)
        j->train.micro_batch = share ? share : 1;
}

int job_check_ranks(const struct job *j, struct error *e)
{
    uint32_t ranks = j->cluster.ranks_per_group;
    if (ranks & (ranks - 1))
        return error_set(e, ERROR_USAGE, "cluster.ranks_per_group: expected a power of two (1, 2, 4, ...), found %u", ranks);
    if (j->train.micro_batch > j->train.batch)
        return error_set(e, ERROR_USAGE, "train.micro_batch %u is more than train.batch %u", j->train.micro_batch,
                         j->train.batch);
    uint32_t count = (j->train.batch + j->train.micro_batch - 1) / j->train.micro_batch;
    if (ranks > count)
        return error_set(
            e, ERROR_USAGE,
            "more ranks than micro-batches: train.batch %u in micro-batches of %u makes %u for cluster.ranks_per_group %u; "
            "use %s",
            j->train.batch, j->train.micro_batch, count, ranks,
            j->train.batch >= ranks ? "a smaller train.micro_batch" : "a larger train.batch or fewer ranks");
    return 0;
}

int job_variant(struct job *ret, const struct job *j, const struct json *values, struct error *e)
{
    struct job variant = *j;
    for (size_t i = 0; i < json_size(values); i++) {
        const struct job_field *f = job_swept_field(json_key(values, i));
        if (!f)
            return error_set(e, ERROR_USAGE, "%s cannot be swept", json_key(values, i));
        if (job_field_store(f, &variant, json_at(values, i), e) != 0)
            return -1;
        if (strcmp(f->key, "train.micro_batch") == 0)
            variant.train.micro_batch_follows = variant.train.micro_batch == 0;
    }
    job_derive_micro_batch(&variant);
    if (job_check_ranks(&variant, e) != 0)
        return -1;
    *ret = variant;
    return 0;
}

struct json *job_train_options(const struct job *j)
{
    struct json *options = json_object();
    for (size_t i = 0; i < job_field_count; i++) {
        const struct job_field *f = &job_fields[i];
        if (strncmp(f->key, "train.", 6) != 0 || f->flags & JOB_FREE)
            continue;
        struct json *value = job_field_value(f, j);
        if (job_field_is_implied(f, value))
            json_destroy(&value);
        else
            json_set(options, f->key + 6, value);
    }
    return options;
}

bool job_is_focal(const struct job *j)
{
    return strcmp(j->train.loss, "focal") == 0;
}

static char *joined(const struct text_fields *list)
{
    struct buffer b = {0};
    for (size_t i = 0; i < list->count; i++)
        buffer_printf(&b, "%s%s", i ? " " : "", list->names[i]);
    return b.data;
}

char *job_freeze(const struct job *j)
{
    return joined(&j->train.freeze);
}

char *job_lora_targets(const struct job *j)
{
    return joined(&j->train.lora_targets);
}

enum lora_bias job_lora_bias(const struct job *j)
{
    enum lora_bias ret = LORA_BIAS_NONE;
    lora_bias_find(&ret, j->train.lora_bias);
    return ret;
}

bool job_is_lora(const struct job *j)
{
    return strcmp(j->train.method, "lora") == 0;
}

static const char *const bias_words[] = {
    [LORA_BIAS_NONE] = "", [LORA_BIAS_ALL] = ", all biases", [LORA_BIAS_ADAPTED] = ", their biases"};

char *job_training_summary(const struct job *j)
{
    struct buffer b = {0};
    buffer_printf(&b, "learning rate %g (%s", j->train.lr, j->train.schedule);
    if (j->train.warmup > 0)
        buffer_printf(&b, ", warmup %g", j->train.warmup);
    buffer_printf(&b, "), batch %u, weight decay %g, %s", j->train.batch, j->train.weight_decay, j->train.precision);
    if (job_is_focal(j))
        buffer_printf(&b, "; focal loss (gamma %g)", j->train.focal_gamma);
    if (j->train.label_smoothing > 0)
        buffer_printf(&b, "%s label smoothing %g", job_is_focal(j) ? "," : ";", j->train.label_smoothing);
    char *frozen = job_freeze(j), *targets = job_lora_targets(j);
    if (job_is_lora(j))
        buffer_printf(&b, "; LoRA r %u, alpha %g%s, dropout %g, on %s%s%s", j->train.lora_r, j->train.lora_alpha,
                      j->train.lora_rslora ? " (rslora)" : "", j->train.lora_dropout, targets ? targets : "all linear maps",
                      bias_words[job_lora_bias(j)], j->train.lora_train_head ? ", and the head" : "");
    free(targets);
    if (strcmp(j->train.head_bias, "shares") == 0)
        buffer_printf(&b, "; a new head's bias begins at the labels' shares");
    if (j->train.layer_decay < 1)
        buffer_printf(&b, "; layer decay %g", j->train.layer_decay);
    if (frozen)
        buffer_printf(&b, "; frozen: %s", frozen);
    free(frozen);
    return b.data;
}

/* The shortest digits that read back as x, as Python's repr has them: 1e-05. */
static void short_number(char text[32], double x)
{
    if (x == floor(x) && fabs(x) < 1e15) { /* 50, not 5e+01 */
        snprintf(text, 32, "%.0f", x);
        return;
    }
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, 32, "%.*g", digits, x);
        if (strtod(text, NULL) == x)
            return;
    }
}

/* Two bounds as 1-50. */
static char *value_in_key(const struct json *value)
{
    char number[32];
    if (json_type(value) == JSON_ARRAY) {
        char *low = value_in_key(json_at(value, 0)), *high = value_in_key(json_at(value, 1));
        char *both = format_string("%s-%s", low, high);
        free(low);
        free(high);
        return both;
    }
    short_number(number, json_number(value));
    return duplicate(json_string(value) ? json_string(value) : json_type(value) == JSON_NUMBER ? number : "null");
}

char *job_trial_key(const struct job *j, const struct json *values)
{
    char number[32];
    short_number(number, j->train.lr);
    char *key = format_string("lr-%s_epochs-%u", number, j->train.epochs);
    for (size_t i = 0; i < job_field_count; i++) {
        const char *dot = strchr(job_fields[i].key, '.'), *name = dot ? dot + 1 : job_fields[i].key;
        const struct json *value = json_get(values, name);
        if (!value || job_swept_field(name) != &job_fields[i] || strcmp(name, "lr") == 0 || strcmp(name, "epochs") == 0)
            continue;
        char *text = value_in_key(value), *longer = format_string("%s_%s-%s", key, name, text);
        free(text);
        free(key);
        key = longer;
    }
    return key;
}
