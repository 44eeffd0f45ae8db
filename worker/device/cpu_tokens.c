/* SPDX-License-Identifier: Apache-2.0 */
/* Owns how rotary positions and pooling over tokens are divided among the cpu device's threads. */
#include "worker/device/cpu_device.h"

#include <math.h>

static char *act_at(const struct device *d, device_memory m, size_t element)
{
    return (char *)host_pointer(m) + element * precision_bytes(d->precision);
}

static size_t positions_of(const int32_t *positions, size_t T)
{
    int32_t most = -1;
    for (size_t t = 0; t < T; t++)
        most = positions[t] > most ? positions[t] : most;
    return (size_t)most + 1;
}

/* Cosines and sines of every position, D floats each, computed once a call: a vector of positions 0.. is used by every head of
 * every row. NULL: the failure has been noted. */
static const float *turns_of(struct cpu *c, size_t positions, float theta, size_t D)
{
    size_t half = D / 2;
    float *ret = cpu_scratch(c, SCRATCH_PARTS, (positions * D + 1) * sizeof *ret);
    if (!ret)
        return NULL;
#pragma omp parallel for num_threads(c->base.threads) schedule(static)
    for (size_t i = 0; i < half; i++) {
        float frequency = 1 / powf(theta, (float)(2 * i) / (float)D);
        for (size_t p = 0; p < positions; p++) {
            ret[p * D + i] = cosf((float)p * frequency);
            ret[p * D + half + i] = sinf((float)p * frequency);
        }
    }
    return ret;
}

void cpu_rotate(struct device *d, device_memory x, device_memory positions, float theta, int backward, size_t T, size_t heads,
                size_t D, size_t stride)
{
    struct cpu *c = cpu_of(d);
    const int32_t *at = host_i32(positions);
    const float *turns = turns_of(c, positions_of(at, T), theta, D);
    if (!turns)
        return;
#pragma omp parallel for num_threads(d->threads) schedule(static)
    for (size_t t = 0; t < T; t++)
        c->kernels->rotate(act_at(d, x, t * stride), turns + (size_t)at[t] * D, backward ? -1 : 1, heads, D);
}

/* Each thread has columns of its own. */
#define COLUMNS ((size_t)64)

void cpu_mean_tokens(struct device *d, device_memory y, device_memory x, device_memory offsets, size_t B, size_t C)
{
    const struct kernels *k = cpu_of(d)->kernels;
    const int32_t *first = host_i32(offsets);
    size_t parts = (C + COLUMNS - 1) / COLUMNS;
#pragma omp parallel for num_threads(d->threads) schedule(static)
    for (size_t i = 0; i < B * parts; i++) {
        size_t b = i / parts, from = i % parts * COLUMNS, to = from + COLUMNS < C ? from + COLUMNS : C;
        k->mean(act_at(d, y, b * C), act_at(d, x, (size_t)first[b] * C), (size_t)(first[b + 1] - first[b]), C, from, to);
    }
}

void cpu_mean_tokens_backward(struct device *d, device_memory dx, device_memory dy, device_memory offsets, size_t B, size_t C)
{
    const struct kernels *k = cpu_of(d)->kernels;
    const int32_t *first = host_i32(offsets);
#pragma omp parallel for num_threads(d->threads) schedule(dynamic, 1)
    for (size_t b = 0; b < B; b++)
        k->mean_backward(act_at(d, dx, (size_t)first[b] * C), act_at(d, dy, b * C), (size_t)(first[b + 1] - first[b]), C);
}
