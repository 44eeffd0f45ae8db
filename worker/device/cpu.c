/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the fast device of the host: its table and the small operations. */
#include "worker/device/cpu.h"

#include "common/base/memory.h"
#include "worker/device/cpu_device.h"
#include "worker/device/cpu_matmul.h"
#include "worker/device/cpu_reference.h"
#include "worker/device/host_memory.h"
#include "worker/device/kernels/gelu_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int cpu_finish(struct device *d, struct error *e)
{
    struct cpu *c = cpu_of(d);
    if (c->failure.kind == ERROR_NONE)
        return 0;
    error_set(e, c->failure.kind, "%s", c->failure.message);
    c->failure = (struct error){0};
    return -1;
}

static void cpu_destroy(struct device *d)
{
    struct cpu *c = cpu_of(d);
    for (int i = 0; i < SCRATCH_COUNT; i++)
        free(c->scratch[i].memory);
    matmul_destroy(&c->matmul);
    free(c);
}

static void cpu_classifier_forward(struct device *d, device_memory logits, device_memory x, device_memory w, device_memory bias,
                                   size_t B, size_t C, size_t L)
{
    cpu_of(d)->kernels->classifier(host_f32(logits), host_pointer(x), host_f32(w), host_f32(bias), B, C, L);
}

static void cpu_classifier_backward(struct device *d, device_memory dx, device_memory dw, device_memory dbias,
                                    device_memory dlogits, device_memory x, device_memory w, size_t B, size_t C, size_t L)
{
    const struct kernels *k = cpu_of(d)->kernels;
    if (dw.address)
        k->classifier_weight(host_f32(dw), host_f32(dbias), host_f32(dlogits), host_pointer(x), B, C, L);
    k->classifier_input(host_pointer(dx), host_f32(dlogits), host_f32(w), B, C, L);
}

static void cpu_scale_columns(struct device *d, device_memory y, size_t y_stride, device_memory x, size_t x_stride, float scale,
                              int add, size_t N, size_t O)
{
    const struct kernels *k = cpu_of(d)->kernels;
    size_t element = precision_bytes(d->precision);
#pragma omp parallel for num_threads(d->threads) schedule(static) if (N > 64)
    for (size_t n = 0; n < N; n++)
        k->store_scaled((char *)host_pointer(y) + n * y_stride * element, (const char *)host_pointer(x) + n * x_stride * element,
                        scale, add, O);
}

/* What is small or only copies is the reference's. */
static const struct device_operations operations = {
    .kind = DEVICE_CPU,
    .allocate = host_allocate,
    .release = host_release,
    .upload = host_upload,
    .download = host_download,
    .download_later = host_download,
    .mark = host_mark,
    .passed = host_passed,
    .zero = host_zero,
    .copy = host_copy,
    .host_begin = host_begin,
    .host_end = host_end,
    .finish = cpu_finish,
    .destroy = cpu_destroy,
    .embedding_forward = cpu_embedding_forward,
    .embedding_backward = cpu_embedding_backward,
    .linear_forward = cpu_linear_forward,
    .linear_backward = cpu_linear_backward,
    .activation_backward = cpu_activation_backward,
    .gated_forward = cpu_gated_forward,
    .gated_backward = cpu_gated_backward,
    .rotate = cpu_rotate,
    .window_attention_forward = cpu_window_attention_forward,
    .window_attention_backward = cpu_window_attention_backward,
    .relative_attention_forward = cpu_relative_attention_forward,
    .relative_attention_backward = cpu_relative_attention_backward,
    .first_relative_attention_forward = cpu_first_relative_attention_forward,
    .first_relative_attention_backward = cpu_first_relative_attention_backward,
    .attention_forward = cpu_attention_forward,
    .attention_backward = cpu_attention_backward,
    .first_attention_forward = cpu_first_attention_forward,
    .first_attention_backward = cpu_first_attention_backward,
    .projected_attention_forward = cpu_projected_attention_forward,
    .projected_attention_backward = cpu_projected_attention_backward,
    .normalize_forward = cpu_normalize_forward,
    .normalize_backward = cpu_normalize_backward,
    .residual_normalize_backward = cpu_residual_normalize_backward,
    .first_tokens = reference_first_tokens,
    .first_tokens_backward = reference_first_tokens_backward,
    .replace_first_tokens = reference_replace_first_tokens,
    .mean_tokens = cpu_mean_tokens,
    .mean_tokens_backward = cpu_mean_tokens_backward,
    .dropout_apply = cpu_dropout_apply,
    .classifier_forward = cpu_classifier_forward,
    .classifier_backward = cpu_classifier_backward,
    .cross_entropy = reference_cross_entropy,
    .binary_cross_entropy = reference_binary_cross_entropy,
    .scale_columns = cpu_scale_columns,
    .add = cpu_add,
    .sum_of_squares = cpu_sum_of_squares,
    .loss_sums = reference_loss_sums,
    .clip = cpu_clip,
    .adamw = cpu_adamw,
    .adamw_rows = cpu_adamw_rows,
    .round_to_activation = cpu_round_to_activation,
    .widen_activation = cpu_widen_activation,
};

int cpu_create(struct device **ret, enum precision precision, int threads, struct error *e)
{
    const char *isa = getenv("MUSTER_ISA");
    const struct kernels *k = kernels_find(precision, isa && *isa ? isa : NULL);
    if (!k)
        return error_set(
            e, ERROR_USAGE,
            "MUSTER_ISA: \"%s\" is not known or not what this machine has; use baseline, avx2, avx512, avx512_bf16 or amx",
            isa ? isa : "");
    gelu_tables_prepare();
    struct cpu *c = allocate(1, sizeof *c);
    c->base = (struct device){.run = &operations, .precision = precision, .threads = threads};
    c->kernels = k;
    if (matmul_create(&c->matmul, threads, strcmp(k->isa, "avx512_bf16") == 0, k->few_rows) != 0) {
        free(c);
        return error_set(e, ERROR_FAILED, "device cpu: oneDNN cannot be set up on this machine; run muster doctor");
    }
    *ret = &c->base;
    return 0;
}

void cpu_describe(const struct device *d, char *text, size_t size)
{
    char version[64];
    snprintf(text, size, "cpu (%s), %d thread%s, %s", ((const struct cpu *)d)->kernels->description, d->threads,
             d->threads == 1 ? "" : "s", matmul_version(version, sizeof version));
}
