/* SPDX-License-Identifier: Apache-2.0 */
/* Owns how attention is divided among the cpu device's threads: by head of a row, whoever is free takes the next. Each writes
 * columns of its own, so who does what does not show in the result. */
#include "worker/device/cpu_device.h"

#include <omp.h>

size_t cpu_longest_row(const int32_t *offsets, size_t B)
{
    size_t ret = 0;
    for (size_t b = 0; b < B; b++) {
        size_t n = (size_t)(offsets[b + 1] - offsets[b]);
        ret = n > ret ? n : ret;
    }
    return ret;
}

static void each_head(struct cpu *c, const struct attention *a,
                      void (*kernel)(const struct attention *a, size_t row, size_t head, void *scratch), size_t B)
{
    size_t bytes =
        (c->kernels->attention_scratch(cpu_longest_row(a->offsets, B), a->D, a->window.half) + 4095) / 4096 * 4096 + 64;
    char *scratch = cpu_scratch(c, SCRATCH_ATTENTION, bytes * (size_t)c->base.threads);
    if (!scratch)
        return;
#pragma omp parallel for num_threads(c->base.threads) schedule(dynamic, 1)
    for (size_t i = 0; i < B * a->H; i++)
        kernel(a, i / a->H, i % a->H, scratch + bytes * (size_t)omp_get_thread_num());
}

void *cpu_behind(const struct cpu *c, device_memory m, size_t elements)
{
    return (char *)host_pointer(m) + elements * precision_bytes(c->base.precision);
}

static struct attention all_queries(const struct cpu *c, device_memory qkv, size_t T, size_t H, size_t D)
{
    size_t C = H * D;
    return (struct attention){.q = host_pointer(qkv),
                              .k = cpu_behind(c, qkv, C),
                              .v = cpu_behind(c, qkv, 2 * C),
                              .q_stride = 3 * C,
                              .kv_stride = 3 * C,
                              .N = T,
                              .H = H,
                              .D = D};
}

static struct attention first_queries(const struct cpu *c, device_memory q, device_memory kv, size_t B, size_t H, size_t D)
{
    size_t C = H * D;
    return (struct attention){.q = host_pointer(q),
                              .k = host_pointer(kv),
                              .v = cpu_behind(c, kv, C),
                              .q_stride = C,
                              .kv_stride = 2 * C,
                              .N = B,
                              .H = H,
                              .D = D,
                              .first_only = true};
}

/* a: the queries, keys and values. */
static void forward(struct cpu *c, struct attention *a, device_memory y, device_memory log_sum, device_memory offsets,
                    const struct dropout *dropout, size_t B)
{
    struct mask m;
    a->y = host_pointer(y);
    a->log_sum = host_f32(log_sum);
    a->offsets = host_i32(offsets);
    a->mask = mask_of(&m, dropout);
    each_head(c, a, c->kernels->attention_forward, B);
}

/* a: these and where their gradients go. */
static void backward(struct cpu *c, struct attention *a, device_memory dy, device_memory y, device_memory log_sum,
                     device_memory offsets, const struct dropout *dropout, size_t B)
{
    struct mask m;
    a->y = host_pointer(y);
    a->dy = host_pointer(dy);
    a->log_sum = host_f32(log_sum);
    a->offsets = host_i32(offsets);
    a->mask = mask_of(&m, dropout);
    each_head(c, a, c->kernels->attention_backward, B);
}

void cpu_window_attention_forward(struct device *d, device_memory y, device_memory log_sum, device_memory qkv,
                                  device_memory offsets, const struct attention_window *window, const struct dropout *dropout,
                                  size_t B, size_t T, size_t H, size_t D)
{
    struct attention a = all_queries(cpu_of(d), qkv, T, H, D);
    a.window = *window;
    d->flops += window_attention_flops(offsets, window, B, H * D, 4);
    forward(cpu_of(d), &a, y, log_sum, offsets, dropout, B);
}

void cpu_window_attention_backward(struct device *d, device_memory dqkv, device_memory dy, device_memory y, device_memory qkv,
                                   device_memory log_sum, device_memory offsets, const struct attention_window *window,
                                   const struct dropout *dropout, size_t B, size_t T, size_t H, size_t D)
{
    struct cpu *c = cpu_of(d);
    struct attention a = all_queries(c, qkv, T, H, D);
    a.dq = host_pointer(dqkv);
    a.dk = cpu_behind(c, dqkv, H * D);
    a.dv = cpu_behind(c, dqkv, 2 * H * D);
    a.window = *window;
    d->flops += window_attention_flops(offsets, window, B, H * D, 8);
    backward(c, &a, dy, y, log_sum, offsets, dropout, B);
}

void cpu_attention_forward(struct device *d, device_memory y, device_memory log_sum, device_memory qkv, device_memory offsets,
                           const struct dropout *dropout, size_t B, size_t T, size_t H, size_t D)
{
    cpu_window_attention_forward(d, y, log_sum, qkv, offsets, &(struct attention_window){0}, dropout, B, T, H, D);
}

void cpu_attention_backward(struct device *d, device_memory dqkv, device_memory dy, device_memory y, device_memory qkv,
                            device_memory log_sum, device_memory offsets, const struct dropout *dropout, size_t B, size_t T,
                            size_t H, size_t D)
{
    cpu_window_attention_backward(d, dqkv, dy, y, qkv, log_sum, offsets, &(struct attention_window){0}, dropout, B, T, H, D);
}

void cpu_first_attention_forward(struct device *d, device_memory y, device_memory log_sum, device_memory q, device_memory kv,
                                 device_memory offsets, const struct dropout *dropout, size_t B, size_t T, size_t H, size_t D)
{
    (void)T;
    struct attention a = first_queries(cpu_of(d), q, kv, B, H, D);
    d->flops += first_attention_flops(offsets, B, H * D, 4);
    forward(cpu_of(d), &a, y, log_sum, offsets, dropout, B);
}

void cpu_first_attention_backward(struct device *d, device_memory dq, device_memory dkv, device_memory dy, device_memory y,
                                  device_memory q, device_memory kv, device_memory log_sum, device_memory offsets,
                                  const struct dropout *dropout, size_t B, size_t T, size_t H, size_t D)
{
    (void)T;
    struct cpu *c = cpu_of(d);
    struct attention a = first_queries(c, q, kv, B, H, D);
    a.dq = host_pointer(dq);
    a.dk = host_pointer(dkv);
    a.dv = cpu_behind(c, dkv, H * D);
    d->flops += first_attention_flops(offsets, B, H * D, 8);
    backward(c, &a, dy, y, log_sum, offsets, dropout, B);
}
