/* SPDX-License-Identifier: Apache-2.0 */
/* Owns how attention with a bias by distance is divided among the cpu device's threads: forward by head of a row, as
 * cpu_attention.c; backward by head of a group of rows, which has sums of its own for the gradient of distances. Groups, and the
 * order of their sums, follow from the number of rows, so the number of threads does not show. */
#include "worker/device/cpu_device.h"

#include <omp.h>
#include <string.h>

static size_t scratch_bytes(const struct cpu *c, const struct relative_attention *r, size_t B)
{
    size_t longest = cpu_longest_row(r->attention.offsets, B);
    return (c->kernels->relative_scratch(r, longest ? longest : 1) + 4095) / 4096 * 4096 + 64;
}

static void forward(struct cpu *c, const struct relative_attention *r, size_t B)
{
    size_t H = r->attention.H, bytes = scratch_bytes(c, r, B);
    char *scratch = cpu_scratch(c, SCRATCH_ATTENTION, bytes * (size_t)c->base.threads);
    if (!scratch)
        return;
#pragma omp parallel for num_threads(c->base.threads) schedule(dynamic, 1)
    for (size_t i = 0; i < B * H; i++)
        c->kernels->relative_forward(r, i / H, i % H, scratch + bytes * (size_t)omp_get_thread_num());
}

#define GROUPS_MOST 8 /* enough for all threads with the heads; more would take more memory */

static size_t groups_of(size_t B)
{
    if (B == 0)
        return 1; /* whose sums are zeros */
    return B < GROUPS_MOST ? B : GROUPS_MOST;
}

/* to (S, D of each head) = sums over groups (G,H,S,wide). */
static void store_distances(const struct cpu *c, const struct relative_attention *r, device_memory to, float *sums, size_t G)
{
    size_t H = r->attention.H, D = r->attention.D, wide = RELATIVE_WIDE(D), part = r->S * wide;
    size_t element = precision_bytes(c->base.precision);
    if (!to.address)
        return;
#pragma omp parallel for num_threads(c->base.threads) schedule(static)
    for (size_t h = 0; h < H; h++) {
        for (size_t g = 1; g < G; g++)
            c->kernels->add(sums + h * part, sums + (g * H + h) * part, part);
        for (size_t s = 0; s < r->S; s++)
            c->kernels->store_product((char *)host_pointer(to) + (s * r->stride + h * D) * element, sums + h * part + s * wide, 0,
                                      D);
    }
}

static void backward(struct cpu *c, const struct relative_attention *r, device_memory dkeys, device_memory dqueries, size_t B)
{
    size_t H = r->attention.H, G = groups_of(B), part = r->S * RELATIVE_WIDE(r->attention.D), bytes = scratch_bytes(c, r, B);
    char *scratch = cpu_scratch(c, SCRATCH_ATTENTION, bytes * (size_t)c->base.threads);
    float *sums = cpu_scratch(c, SCRATCH_PARTS, 2 * G * H * part * sizeof *sums);
    if (!scratch || !sums)
        return;
#pragma omp parallel for num_threads(c->base.threads) schedule(dynamic, 1)
    for (size_t i = 0; i < G * H; i++) {
        float *of_keys = sums + i * part, *of_queries = sums + (G * H + i) * part;
        size_t g = i / H;
        memset(of_keys, 0, part * sizeof *sums);
        memset(of_queries, 0, part * sizeof *sums);
        for (size_t row = g * B / G; row < (g + 1) * B / G; row++)
            c->kernels->relative_backward(r, row, i % H, of_keys, of_queries, scratch + bytes * (size_t)omp_get_thread_num());
    }
    store_distances(c, r, dkeys, sums, G);
    store_distances(c, r, dqueries, sums + G * H * part, G);
}

/* What forward and backward, of all queries or of first ones, have in common; q and kv may be parts of one matrix. */
static struct relative_attention opened(const struct cpu *c, device_memory q, device_memory k, size_t q_stride, size_t kv_stride,
                                        device_memory y, device_memory log_sum, device_memory offsets,
                                        const struct relative_bias *bias, size_t N, size_t H, size_t D)
{
    return (struct relative_attention){.attention = {.q = host_pointer(q),
                                                     .k = host_pointer(k),
                                                     .v = cpu_behind(c, k, H * D),
                                                     .y = host_pointer(y),
                                                     .log_sum = host_f32(log_sum),
                                                     .offsets = host_i32(offsets),
                                                     .q_stride = q_stride,
                                                     .kv_stride = kv_stride,
                                                     .N = N,
                                                     .H = H,
                                                     .D = D},
                                       .keys = host_pointer(bias->keys),
                                       .queries = host_pointer(bias->queries),
                                       .places = host_i32(bias->places),
                                       .stride = bias->stride,
                                       .S = bias->S,
                                       .reach = bias->reach};
}

static struct relative_attention of_all(const struct cpu *c, device_memory qkv, device_memory y, device_memory log_sum,
                                        device_memory offsets, const struct relative_bias *bias, size_t T, size_t H, size_t D)
{
    device_memory k = device_at(qkv, H * D * precision_bytes(c->base.precision));
    return opened(c, qkv, k, 3 * H * D, 3 * H * D, y, log_sum, offsets, bias, T, H, D);
}

static struct relative_attention of_first(const struct cpu *c, device_memory q, device_memory kv, device_memory y,
                                          device_memory log_sum, device_memory offsets, const struct relative_bias *bias,
                                          size_t B, size_t H, size_t D)
{
    struct relative_attention r = opened(c, q, kv, H * D, 2 * H * D, y, log_sum, offsets, bias, B, H, D);
    r.attention.first_only = true;
    return r;
}

void cpu_relative_attention_forward(struct device *d, device_memory y, device_memory log_sum, device_memory qkv,
                                    device_memory offsets, const struct relative_bias *bias, const struct dropout *dropout,
                                    size_t B, size_t T, size_t H, size_t D)
{
    struct mask m;
    struct relative_attention r = of_all(cpu_of(d), qkv, y, log_sum, offsets, bias, T, H, D);
    r.attention.mask = mask_of(&m, dropout);
    d->flops += attention_flops(offsets, B, H * D, 2 + 2 * relative_products(bias));
    forward(cpu_of(d), &r, B);
}

void cpu_relative_attention_backward(struct device *d, device_memory dqkv, device_memory dkeys, device_memory dqueries,
                                     device_memory dy, device_memory y, device_memory qkv, device_memory log_sum,
                                     device_memory offsets, const struct relative_bias *bias, const struct dropout *dropout,
                                     size_t B, size_t T, size_t H, size_t D)
{
    struct mask m;
    struct cpu *c = cpu_of(d);
    struct relative_attention r = of_all(c, qkv, y, log_sum, offsets, bias, T, H, D);
    r.attention.mask = mask_of(&m, dropout);
    r.attention.dy = host_pointer(dy);
    r.attention.dq = host_pointer(dqkv);
    r.attention.dk = cpu_behind(c, dqkv, H * D);
    r.attention.dv = cpu_behind(c, dqkv, 2 * H * D);
    d->flops += attention_flops(offsets, B, H * D, 4 + 4 * relative_products(bias));
    backward(c, &r, dkeys, dqueries, B);
}

void cpu_first_relative_attention_forward(struct device *d, device_memory y, device_memory log_sum, device_memory q,
                                          device_memory kv, device_memory offsets, const struct relative_bias *bias,
                                          const struct dropout *dropout, size_t B, size_t T, size_t H, size_t D)
{
    (void)T;
    struct mask m;
    struct relative_attention r = of_first(cpu_of(d), q, kv, y, log_sum, offsets, bias, B, H, D);
    r.attention.mask = mask_of(&m, dropout);
    d->flops += first_attention_flops(offsets, B, H * D, 2 + 2 * relative_products(bias));
    forward(cpu_of(d), &r, B);
}

void cpu_first_relative_attention_backward(struct device *d, device_memory dq, device_memory dkv, device_memory dkeys,
                                           device_memory dqueries, device_memory dy, device_memory y, device_memory q,
                                           device_memory kv, device_memory log_sum, device_memory offsets,
                                           const struct relative_bias *bias, const struct dropout *dropout, size_t B, size_t T,
                                           size_t H, size_t D)
{
    (void)T;
    struct mask m;
    struct cpu *c = cpu_of(d);
    struct relative_attention r = of_first(c, q, kv, y, log_sum, offsets, bias, B, H, D);
    r.attention.mask = mask_of(&m, dropout);
    r.attention.dy = host_pointer(dy);
    r.attention.dq = host_pointer(dq);
    r.attention.dk = host_pointer(dkv);
    r.attention.dv = cpu_behind(c, dkv, H * D);
    d->flops += first_attention_flops(offsets, B, H * D, 4 + 4 * relative_products(bias));
    backward(c, &r, dkeys, dqueries, B);
}
