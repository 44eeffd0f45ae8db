/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the estimate of a trial's memory. */
#include "worker/train/memory.h"

#include "worker/device/gpu.h"
#include "worker/train/evaluate.h"
#include "worker/train/step.h"

struct batch_limits memory_batches(const struct trial *t, const struct source *s, const uint32_t *rows, uint32_t count)
{
    return batch_limits(s->data, s->config.vocabulary, rows, count, t->batch, t->micro_batch);
}

struct model_limits memory_sizes(const struct trial *t, const struct source *s, const struct batch_limits *limits)
{
    struct model_limits sizes = {.max_tokens = limits->tokens,
                                 .max_rows = limits->rows,
                                 .lora_rank = s->tuning.lora.rank,
                                 .lowest_trained = tuning_lowest_trained(&s->config, &s->tuning),
                                 .checkpointing = t->checkpointing,
                                 .training = true};
    evaluator_limits(s, &sizes.evaluation_tokens, &sizes.evaluation_rows);
    return sizes;
}

struct memory_need memory_of(const struct trial *t, const struct source *s, const struct communicator *c,
                             enum precision precision, const struct batch_limits *limits)
{
    struct model_limits sizes = memory_sizes(t, s, limits);
    return (struct memory_need){
        .weights = parameters_bytes_tuned(&s->config, &s->tuning, stepper_arenas(t, c), precision, limits->words),
        .activations = model_bytes(&s->config, &sizes, precision)};
}

int memory_check(const struct memory_need *m, const struct device *d, size_t bytes, const char *which, struct error *e)
{
    char device[256];
    if (!*device_gpu(d) || !bytes || m->weights + m->activations <= bytes)
        return 0;
    device_describe(d, device, sizeof device);
    return error_set(
        e, ERROR_USAGE,
        "training takes %.1f GB of a GPU's memory, and %s has %.1f GB%s: weights, moments and gradients are %.1f GB, "
        "activations %.1f GB; %s",
        1e-9 * (double)(m->weights + m->activations), device, 1e-9 * (double)bytes, which, 1e-9 * (double)m->weights,
        1e-9 * (double)m->activations,
        m->weights > bytes / 2 ? "train less of it: train.lora_r or train.freeze"
                               : "lower train.micro_batch, or set train.checkpointing");
}

int memory_ask(struct memory_need *ret, const struct trial *t, int ranks, const struct device *d, struct error *e)
{
    struct source s;
    const struct communicator group = {.size = ranks};
    if (!t->batch || !t->micro_batch)
        return error_set(e, ERROR_USAGE, "trial %s: batch %u, micro_batch %u", t->key, t->batch, t->micro_batch);
    int precision = precision_find(t->precision);
    if (precision < 0)
        return error_set(e, ERROR_USAGE, "trial %s: precision \"%s\" is not known; use f32, bf16 or tf32", t->key, t->precision);
    if (source_open(&s, t, e))
        return -1;
    if (d && d->run->kind == DEVICE_CUDA && gpu_check_heads(s.config.width / s.config.heads, e)) {
        source_close(&s);
        return -1;
    }
    const struct batch_limits limits = memory_batches(t, &s, s.split.part[PART_TEST].rows, s.split.part[PART_TEST].count);
    *ret = memory_of(t, &s, &group, (enum precision)precision, &limits);
    source_close(&s);
    return 0;
}
