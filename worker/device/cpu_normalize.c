/* SPDX-License-Identifier: Apache-2.0 */
/* Owns how LayerNorm, embeddings and dropout are divided among the cpu device's threads. */
#include "worker/device/cpu_device.h"
#include "worker/device/host_memory.h"

#include <string.h>

#define CHUNK 32 /* rows: sums over rows are of chunks, then over chunks in order, so the number of threads does not show */

const struct mask *mask_of(struct mask *m, const struct dropout *dropout)
{
    if (!dropout_is_on(dropout))
        return NULL;
    *m = (struct mask){.seed = dropout->seed,
                       .epoch_site = dropout->epoch << 16 | dropout->site,
                       .bound = dropout_bound(dropout->probability),
                       .scale = dropout_scale(dropout->probability),
                       .rows = host_i32(dropout->rows),
                       .positions = host_i32(dropout->positions)};
    return m;
}

/* Whether operations may go on at this width. */
static bool width_fits(struct cpu *c, size_t C)
{
    if (C > KERNEL_WIDTH_MAX)
        cpu_fail(c, "device cpu: width %zu is above %d, the most it is made for; use cluster.device cpu_reference", C,
                 KERNEL_WIDTH_MAX);
    return c->failure.kind == ERROR_NONE;
}

static size_t chunks_of(size_t rows)
{
    return (rows + CHUNK - 1) / CHUNK;
}

static size_t chunk_end(size_t chunk, size_t rows)
{
    return chunk * CHUNK + CHUNK < rows ? chunk * CHUNK + CHUNK : rows;
}

void cpu_embedding_forward(struct device *d, device_memory y, device_memory sum, device_memory statistics, device_memory ids,
                           device_memory positions, device_memory types, device_memory word, device_memory position,
                           device_memory type, device_memory gamma, device_memory beta, float epsilon,
                           const struct dropout *dropout, size_t T, size_t C)
{
    struct cpu *c = cpu_of(d);
    struct mask m;
    const struct layer_norm l = {host_pointer(y), host_pointer(sum), host_f32(statistics), host_f32(gamma),
                                 host_f32(beta),  epsilon,           mask_of(&m, dropout), C};
    const int32_t *const places[3] = {host_i32(ids), host_i32(positions), host_i32(types)};
    const float *const tables[3] = {host_f32(word), host_f32(position), host_f32(type)};
    if (!width_fits(c, C))
        return;
#pragma omp parallel for num_threads(d->threads) schedule(static)
    for (size_t i = 0; i < chunks_of(T); i++)
        c->kernels->embed(&l, places, tables, i * CHUNK, chunk_end(i, T));
}

void cpu_normalize_forward(struct device *d, device_memory y, device_memory sum, device_memory statistics, device_memory x,
                           device_memory z, device_memory gamma, device_memory beta, float epsilon, const struct dropout *dropout,
                           size_t N, size_t C)
{
    struct cpu *c = cpu_of(d);
    struct mask m;
    const struct layer_norm l = {host_pointer(y), host_pointer(sum), host_f32(statistics), host_f32(gamma),
                                 host_f32(beta),  epsilon,           mask_of(&m, dropout), C};
    if (!width_fits(c, C))
        return;
#pragma omp parallel for num_threads(d->threads) schedule(static)
    for (size_t i = 0; i < chunks_of(N); i++)
        c->kernels->normalize(&l, host_pointer(x), host_pointer(z), i * CHUNK, chunk_end(i, N));
}

/* y (C) = sum of parts, 2 C apart. */
static void sum_parts(const struct cpu *c, device_memory y, const float *parts, size_t count, size_t C)
{
    memset(host_f32(y), 0, C * sizeof(float));
    for (size_t i = 0; i < count; i++)
        c->kernels->add(host_f32(y), parts + i * 2 * C, C);
}

/* Rows' gradients, and dgamma, dbeta as sums over chunks. */
static void norm_gradients(struct cpu *c, const struct norm_gradient *g, device_memory dgamma, device_memory dbeta, size_t N)
{
    size_t chunks = chunks_of(N), C = g->C;
    float *parts = cpu_scratch(c, SCRATCH_PARTS, chunks * 2 * C * sizeof *parts);
    if (!parts)
        return;
#pragma omp parallel for num_threads(c->base.threads) schedule(static)
    for (size_t i = 0; i < chunks; i++) {
        memset(parts + i * 2 * C, 0, 2 * C * sizeof *parts);
        c->kernels->normalize_backward(g, parts + i * 2 * C, parts + i * 2 * C + C, i * CHUNK, chunk_end(i, N));
    }
    if (dgamma.address)
        sum_parts(c, dgamma, parts, chunks, C);
    if (dbeta.address)
        sum_parts(c, dbeta, parts + C, chunks, C);
}

static void norm_backward(struct device *d, bool add, device_memory dx, device_memory dz, device_memory dgamma,
                          device_memory dbeta, device_memory dy, device_memory sum, device_memory statistics, device_memory gamma,
                          const struct dropout *dropout, size_t N, size_t C)
{
    struct mask m;
    const struct norm_gradient g = {.dx = host_pointer(dx),
                                    .dz = host_pointer(dz),
                                    .dy = host_pointer(dy),
                                    .sum = host_pointer(sum),
                                    .statistics = host_f32(statistics),
                                    .gamma = host_f32(gamma),
                                    .before = mask_of(&m, dropout),
                                    .C = C,
                                    .add = add};
    if (width_fits(cpu_of(d), C))
        norm_gradients(cpu_of(d), &g, dgamma, dbeta, N);
}

void cpu_normalize_backward(struct device *d, device_memory dx, device_memory dz, device_memory dgamma, device_memory dbeta,
                            device_memory dy, device_memory sum, device_memory statistics, device_memory gamma,
                            const struct dropout *dropout, size_t N, size_t C)
{
    norm_backward(d, false, dx, dz, dgamma, dbeta, dy, sum, statistics, gamma, dropout, N, C);
}

void cpu_residual_normalize_backward(struct device *d, device_memory dx, device_memory dz, device_memory dgamma,
                                     device_memory dbeta, device_memory dy, device_memory sum, device_memory statistics,
                                     device_memory gamma, const struct dropout *dropout, size_t N, size_t C)
{
    norm_backward(d, true, dx, dz, dgamma, dbeta, dy, sum, statistics, gamma, dropout, N, C);
}

/* Each thread has channels of its own and takes tokens in order: no two add to one place, and the order is always the same. */
static void scatter(struct cpu *c, device_memory to, device_memory from, device_memory places, size_t rows, size_t T, size_t C)
{
    size_t parts = (C + 63) / 64;
    if (!to.address)
        return;
    host_zero(&c->base, to, rows * C * sizeof(float));
#pragma omp parallel for num_threads(c->base.threads) schedule(static)
    for (size_t i = 0; i < parts; i++)
        c->kernels->scatter_add(host_f32(to), host_pointer(from), host_i32(places), T, C, i * 64,
                                i * 64 + 64 < C ? i * 64 + 64 : C);
}

void cpu_embedding_backward(struct device *d, device_memory dword, device_memory dposition, device_memory dtype,
                            device_memory dgamma, device_memory dbeta, device_memory dy, device_memory sum,
                            device_memory statistics, device_memory slots, device_memory positions, device_memory types,
                            device_memory gamma, const struct dropout *dropout, size_t T, size_t C, size_t U, size_t P,
                            size_t type_count)
{
    struct cpu *c = cpu_of(d);
    struct mask m;
    const struct norm_gradient g = {.dx = host_pointer(dy),
                                    .dy = host_pointer(dy),
                                    .sum = host_pointer(sum),
                                    .statistics = host_f32(statistics),
                                    .gamma = host_f32(gamma),
                                    .behind = mask_of(&m, dropout),
                                    .C = C};
    if (!width_fits(c, C))
        return;
    norm_gradients(c, &g, dgamma, dbeta, T);
    scatter(c, dword, dy, slots, U, T, C);
    scatter(c, dposition, dy, positions, P, T, C);
    scatter(c, dtype, dy, types, type_count, T, C);
}

void cpu_dropout_apply(struct device *d, device_memory y, device_memory x, const struct dropout *dropout, int add, size_t N,
                       size_t C)
{
    struct cpu *c = cpu_of(d);
    struct mask m;
    const struct mask *mask = mask_of(&m, dropout);
    if (!width_fits(c, C))
        return;
#pragma omp parallel for num_threads(d->threads) schedule(static) if (N > CHUNK)
    for (size_t i = 0; i < chunks_of(N); i++)
        c->kernels->dropout(host_pointer(y), host_pointer(x), mask, add, i * CHUNK, chunk_end(i, N), C);
}
