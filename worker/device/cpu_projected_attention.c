/* SPDX-License-Identifier: Apache-2.0 */
/* Owns how attention to keys and values that are not made is divided among the cpu device's threads: by head of a row, by block
 * of tokens, by channels. Who does what does not show in the result. */
#include "worker/device/cpu_device.h"

#include <omp.h>

#define BLOCK 64    /* tokens at a time */
#define CHANNELS 64 /* a thread's share is a multiple of it */

struct work {
    struct cpu *c;
    struct projected_attention p;
    struct mask mask;
};

static float *take(float **at, size_t count)
{
    float *ret = *at;
    *at += (count + 15) / 16 * 16;
    return ret;
}

/* False: there is no memory for what is made on the way. */
static bool lay_out(struct work *w)
{
    struct projected_attention *p = &w->p;
    size_t vectors = p->B * p->H * p->H * p->D + 16, tokens = p->H * p->T + 16, pairs = p->B * p->H + 16;
    float *at = cpu_scratch(w->c, SCRATCH_ATTENTION, (4 * vectors + 2 * tokens + pairs) * sizeof *at);
    if (!at)
        return false;
    p->keys = take(&at, vectors - 16);
    p->outputs = take(&at, vectors - 16);
    p->values = take(&at, vectors - 16);
    p->turns = take(&at, vectors - 16);
    p->scores = take(&at, tokens - 16);
    p->slopes = take(&at, tokens - 16);
    p->kept = take(&at, pairs - 16);
    return true;
}

static void each_head(const struct work *w, void (*kernel)(const struct projected_attention *p, size_t row, size_t head))
{
    size_t H = w->p.H;
#pragma omp parallel for num_threads(w->c->base.threads) schedule(static)
    for (size_t i = 0; i < w->p.B * H; i++)
        kernel(&w->p, i / H, i % H);
}

static void each_block(const struct work *w,
                       void (*kernel)(const struct projected_attention *p, size_t row, size_t from, size_t to))
{
    const struct projected_attention *p = &w->p;
#pragma omp parallel for num_threads(w->c->base.threads) schedule(static)
    for (size_t from = 0; from < p->T; from += BLOCK) {
        size_t to = p->T - from < BLOCK ? p->T : from + BLOCK;
        for (size_t row = 0; row < p->B; row++) {
            size_t first = (size_t)p->offsets[row], end = (size_t)p->offsets[row + 1];
            if (first < to && end > from)
                kernel(p, row, first > from ? first : from, end < to ? end : to);
        }
    }
}

static void each_channels(const struct work *w,
                          void (*kernel)(const struct projected_attention *p, size_t row, size_t from, size_t to))
{
    size_t C = w->p.H * w->p.D, parts = (C + CHANNELS - 1) / CHANNELS, threads = (size_t)w->c->base.threads;
    parts = parts < threads ? parts : threads;
    size_t each = (C + parts * CHANNELS - 1) / (parts * CHANNELS) * CHANNELS;
#pragma omp parallel for num_threads(w->c->base.threads) schedule(static)
    for (size_t i = 0; i < w->p.B * parts; i++) {
        size_t from = i % parts * each, to = from + each;
        if (from < C)
            kernel(&w->p, i / parts, from, to < C ? to : C);
    }
}

static void open_work(struct work *w, struct device *d, device_memory q, device_memory x, device_memory weights,
                      device_memory bias, device_memory log_sum, device_memory offsets, const struct dropout *dropout)
{
    w->c = cpu_of(d);
    w->p.q = host_pointer(q);
    w->p.x = host_pointer(x);
    w->p.w = host_pointer(weights);
    w->p.bias = host_f32(bias);
    w->p.log_sum = host_f32(log_sum);
    w->p.offsets = host_i32(offsets);
    w->p.mask = mask_of(&w->mask, dropout);
}

void cpu_projected_attention_forward(struct device *d, device_memory y, device_memory log_sum, device_memory q, device_memory x,
                                     device_memory w, device_memory bias, device_memory offsets, const struct dropout *dropout,
                                     size_t B, size_t T, size_t H, size_t D)
{
    struct work work = {.p = {.y = host_pointer(y), .B = B, .T = T, .H = H, .D = D}};
    open_work(&work, d, q, x, w, bias, log_sum, offsets, dropout);
    const struct kernels *k = work.c->kernels;
    if (!lay_out(&work))
        return;
    d->flops += projected_attention_flops(B, T, H, D, 2);
    each_head(&work, k->projected_spread);
    each_block(&work, k->projected_score);
    each_head(&work, k->projected_soften);
    each_channels(&work, k->projected_gather);
    each_head(&work, k->projected_output);
}

void cpu_projected_attention_backward(struct device *d, device_memory dq, device_memory dx, device_memory dw, device_memory dbias,
                                      device_memory dy, device_memory y, device_memory q, device_memory x, device_memory w,
                                      device_memory bias, device_memory log_sum, device_memory offsets,
                                      const struct dropout *dropout, size_t B, size_t T, size_t H, size_t D)
{
    (void)y;
    struct work work = {.p = {.dq = host_pointer(dq),
                              .dx = host_pointer(dx),
                              .dw = host_f32(dw),
                              .dbias = host_f32(dbias),
                              .dy = host_pointer(dy),
                              .B = B,
                              .T = T,
                              .H = H,
                              .D = D}};
    open_work(&work, d, q, x, w, bias, log_sum, offsets, dropout);
    const struct kernels *k = work.c->kernels;
    if (!lay_out(&work))
        return;
    d->flops += projected_attention_flops(B, T, H, D, 5);
    each_head(&work, k->projected_spread);
    each_block(&work, k->projected_score);
    each_head(&work, k->projected_slope);
    each_channels(&work, k->projected_gather);
#pragma omp parallel for num_threads(work.c->base.threads) schedule(static)
    for (size_t head = 0; head < H; head++)
        k->projected_gradient(&work.p, head);
    if (dx.address)
        each_block(&work, k->projected_input);
}
