/* SPDX-License-Identifier: Apache-2.0 */
/* Owns how the loops over long arrays are divided among the cpu device's threads: optimiser, activations. */
#include "worker/device/cpu_device.h"
#include "worker/device/cpu_reference.h"

#define BLOCK ((size_t)1 << 14) /* elements */

static size_t blocks_of(size_t n)
{
    return (n + BLOCK - 1) / BLOCK;
}

static size_t block_size(size_t i, size_t n)
{
    return n - i * BLOCK < BLOCK ? n - i * BLOCK : BLOCK;
}

void cpu_add(struct device *d, device_memory y, device_memory x, size_t n)
{
    const struct kernels *k = cpu_of(d)->kernels;
#pragma omp parallel for num_threads(d->threads) schedule(static) if (n > BLOCK)
    for (size_t i = 0; i < blocks_of(n); i++)
        k->add(host_f32(y) + i * BLOCK, host_f32(x) + i * BLOCK, block_size(i, n));
}

/* Of blocks, then of neighbours as a tree: neither depends on the number of threads. */
void cpu_sum_of_squares(struct device *d, device_memory sum, device_memory x, size_t n)
{
    struct cpu *c = cpu_of(d);
    size_t blocks = blocks_of(n);
    double *sums = cpu_scratch(c, SCRATCH_PARTS, (blocks + 1) * sizeof *sums);
    if (!sums)
        return;
    sums[0] = 0;
#pragma omp parallel for num_threads(d->threads) schedule(static) if (n > BLOCK)
    for (size_t i = 0; i < blocks; i++)
        sums[i] = c->kernels->sum_of_squares(host_f32(x) + i * BLOCK, block_size(i, n));
    for (size_t step = 1; step < blocks; step *= 2)
        for (size_t i = 0; i + step < blocks; i += 2 * step)
            sums[i] += sums[i + step];
    *host_f64(sum) = sums[0];
}

/* The failure that waits to be told is bad, too: what was computed since is nothing to learn from. */
void cpu_clip(struct device *d, device_memory control, device_memory sum, device_memory bad, double divisor, double clip)
{
    reference_clip(d, control, sum, bad, divisor, clip);
    host_control(control)->bad |= cpu_of(d)->failure.kind != ERROR_NONE;
}

static char *act_at(const struct device *d, device_memory m, size_t element)
{
    return m.address ? (char *)host_pointer(m) + element * precision_bytes(d->precision) : NULL;
}

void cpu_adamw(struct device *d, device_memory p, device_memory shadow, device_memory g, device_memory m, device_memory v,
               const struct adamw *a, device_memory control, size_t n)
{
    const struct kernels *k = cpu_of(d)->kernels;
    const struct step_control c = *host_control(control);
    if (c.bad)
        return;
#pragma omp parallel for num_threads(d->threads) schedule(static) if (n > BLOCK)
    for (size_t i = 0; i < blocks_of(n); i++) {
        size_t at = i * BLOCK;
        k->adamw(host_f32(p) + at, act_at(d, shadow, at), host_f32(g) + at, host_f32(m) + at, host_f32(v) + at, a, c.scale,
                 block_size(i, n));
    }
}

void cpu_adamw_rows(struct device *d, device_memory p, device_memory g, device_memory m, device_memory v, device_memory seen,
                    device_memory slot_of, const struct adamw *a, device_memory control, size_t V, size_t C)
{
    const struct kernels *k = cpu_of(d)->kernels;
    const int32_t *slots = host_i32(slot_of);
    uint8_t *was_seen = host_pointer(seen);
    const struct step_control c = *host_control(control);
    float keep = 1 - a->learning_rate * a->decay;
    if (c.bad)
        return;
#pragma omp parallel for num_threads(d->threads) schedule(static) if (V * C > BLOCK)
    for (size_t row = 0; row < V; row++) {
        size_t at = row * C;
        was_seen[row] |= slots[row] >= 0;
        if (was_seen[row])
            k->adamw(host_f32(p) + at, NULL, slots[row] < 0 ? NULL : host_f32(g) + (size_t)slots[row] * C, host_f32(m) + at,
                     host_f32(v) + at, a, c.scale, C);
        else if (keep != 1)
            k->scale(host_f32(p) + at, keep, C);
    }
}

void cpu_round_to_activation(struct device *d, device_memory y, device_memory x, size_t n)
{
    const struct kernels *k = cpu_of(d)->kernels;
#pragma omp parallel for num_threads(d->threads) schedule(static) if (n > BLOCK)
    for (size_t i = 0; i < blocks_of(n); i++)
        k->round(act_at(d, y, i * BLOCK), host_f32(x) + i * BLOCK, block_size(i, n));
}

void cpu_widen_activation(struct device *d, device_memory y, device_memory x, size_t n)
{
    const struct kernels *k = cpu_of(d)->kernels;
#pragma omp parallel for num_threads(d->threads) schedule(static) if (n > BLOCK)
    for (size_t i = 0; i < blocks_of(n); i++)
        k->widen(host_f32(y) + i * BLOCK, act_at(d, x, i * BLOCK), block_size(i, n));
}

void cpu_activation_backward(struct device *d, device_memory dpre, device_memory y, device_memory dy, device_memory pre,
                             enum activation activation, size_t n)
{
    const struct kernels *k = cpu_of(d)->kernels;
#pragma omp parallel for num_threads(d->threads) schedule(static) if (n > BLOCK)
    for (size_t i = 0; i < blocks_of(n); i++) {
        size_t at = i * BLOCK;
        k->activation_backward(act_at(d, dpre, at), act_at(d, y, at), act_at(d, dy, at), act_at(d, pre, at), activation,
                               block_size(i, n));
    }
}

#define TOKENS 16 /* of a gated activation */

void cpu_gated_forward(struct device *d, device_memory y, device_memory pre, enum activation activation, size_t N, size_t F)
{
    const struct kernels *k = cpu_of(d)->kernels;
#pragma omp parallel for num_threads(d->threads) schedule(static) if (N > TOKENS)
    for (size_t i = 0; i < N; i += TOKENS)
        k->gated_forward(act_at(d, y, i * F), act_at(d, pre, i * 2 * F), activation, N - i < TOKENS ? N - i : TOKENS, F);
}

void cpu_gated_backward(struct device *d, device_memory dpre, device_memory y, device_memory dy, device_memory pre,
                        enum activation activation, size_t N, size_t F)
{
    const struct kernels *k = cpu_of(d)->kernels;
#pragma omp parallel for num_threads(d->threads) schedule(static) if (N > TOKENS)
    for (size_t i = 0; i < N; i += TOKENS)
        k->gated_backward(act_at(d, dpre, i * 2 * F), act_at(d, y, i * F), act_at(d, dy, i * F), act_at(d, pre, i * 2 * F),
                          activation, N - i < TOKENS ? N - i : TOKENS, F);
}
