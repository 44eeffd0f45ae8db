/* Owns the fast device of the host: its table and its threads. */
#include "worker/device/cpu.h"

#include "common/base/memory.h"
#include "worker/device/cpu_reference.h"
#include "worker/device/host_memory.h"

#include <stdio.h>
#include <stdlib.h>

static void cpu_destroy(struct device *d)
{
    free(d);
}

static const struct device_operations operations = {
    .name = "cpu",
    .allocate = host_allocate,
    .release = host_release,
    .upload = host_upload,
    .download = host_download,
    .zero = host_zero,
    .copy = host_copy,
    .host_begin = host_begin,
    .host_end = host_end,
    .finish = host_finish,
    .destroy = cpu_destroy,
    .embedding_forward = reference_embedding_forward,
    .embedding_backward = reference_embedding_backward,
    .linear_forward = reference_linear_forward,
    .linear_backward = reference_linear_backward,
    .activation_backward = reference_activation_backward,
    .attention_forward = reference_attention_forward,
    .attention_backward = reference_attention_backward,
    .normalize_forward = reference_normalize_forward,
    .normalize_backward = reference_normalize_backward,
    .first_tokens = reference_first_tokens,
    .first_tokens_backward = reference_first_tokens_backward,
    .dropout_apply = reference_dropout_apply,
    .classifier_forward = reference_classifier_forward,
    .classifier_backward = reference_classifier_backward,
    .cross_entropy = reference_cross_entropy,
    .binary_cross_entropy = reference_binary_cross_entropy,
    .add = reference_add,
    .sum_of_squares = reference_sum_of_squares,
    .adamw = reference_adamw,
    .adamw_rows = reference_adamw_rows,
    .round_to_activation = reference_round_to_activation,
};

int cpu_create(struct device **ret, enum precision precision, int threads, struct error *e)
{
    (void)e;
    struct device *d = allocate(1, sizeof *d);
    *d = (struct device){.run = &operations, .precision = precision, .threads = threads};
    *ret = d;
    return 0;
}

void cpu_describe(const struct device *d, char *text, size_t size)
{
    snprintf(text, size, "cpu (%s), %d thread%s", precision_names[d->precision], d->threads, d->threads == 1 ? "" : "s");
}
