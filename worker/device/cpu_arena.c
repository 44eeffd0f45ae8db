/* SPDX-License-Identifier: Apache-2.0 */
/* Owns how the loops over long arrays are divided among the cpu device's threads: optimiser, activations. */
#include "worker/device/cpu_device.h"

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
double cpu_sum_of_squares(struct device *d, device_memory x, size_t n)
{
    struct cpu *c = cpu_of(d);
    size_t blocks = blocks_of(n);
    double *sums = cpu_scratch(c, SCRATCH_PARTS, (blocks + 1) * sizeof *sums);
    if (!sums)
        return 0;
    sums[0] = 0;
#pragma omp parallel for num_threads(d->threads) schedule(static) if (n > BLOCK)
    for (size_t i = 0; i < blocks; i++)
        sums[i] = c->kernels->sum_of_squares(host_f32(x) + i * BLOCK, block_size(i, n));
    for (size_t step = 1; step < blocks; step *= 2)
        for (size_t i = 0; i + step < blocks; i += 2 * step)
            sums[i] += sums[i + step];
    return sums[0];
}

static char *act_at(const struct device *d, device_memory m, size_t element)
{
    return m.address ? (char *)host_pointer(m) + element * precision_bytes(d->precision) : NULL;
}

void cpu_adamw(struct device *d, device_memory p, device_memory shadow, device_memory g, device_memory m, device_memory v,
               const struct adamw *a, size_t n)
{
    const struct kernels *k = cpu_of(d)->kernels;
#pragma omp parallel for num_threads(d->threads) schedule(static) if (n > BLOCK)
    for (size_t i = 0; i < blocks_of(n); i++) {
        size_t at = i * BLOCK;
        k->adamw(host_f32(p) + at, act_at(d, shadow, at), host_f32(g) + at, host_f32(m) + at, host_f32(v) + at, a,
                 block_size(i, n));
    }
}

void cpu_adamw_rows(struct device *d, device_memory p, device_memory g, device_memory m, device_memory v, device_memory seen,
                    device_memory slot_of, const struct adamw *a, size_t V, size_t C)
{
    const struct kernels *k = cpu_of(d)->kernels;
    const int32_t *slots = host_i32(slot_of);
    uint8_t *was_seen = host_pointer(seen);
    float keep = 1 - a->learning_rate * a->decay;
#pragma omp parallel for num_threads(d->threads) schedule(static) if (V * C > BLOCK)
    for (size_t row = 0; row < V; row++) {
        size_t at = row * C;
        was_seen[row] |= slots[row] >= 0;
        if (was_seen[row])
            k->adamw(host_f32(p) + at, NULL, slots[row] < 0 ? NULL : host_f32(g) + (size_t)slots[row] * C, host_f32(m) + at,
                     host_f32(v) + at, a, C);
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
