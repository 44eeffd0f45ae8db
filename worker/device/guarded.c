/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the guarded device: the cpu device behind memory that is mapped without any right between operations. */
#include "worker/device/guarded.h"

#include "common/base/memory.h"
#include "worker/device/cpu.h"
#include "worker/device/host.h"
#include "worker/device/host_memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct span {
    uintptr_t address;
    size_t bytes; /* whole pages */
    int open;     /* host_begin without its host_end */
};

struct guarded {
    struct device base;
    struct device *inner;
    struct span *spans;
    size_t count, capacity;
};

static struct guarded *guarded_of(struct device *d)
{
    return (struct guarded *)d;
}

static void span_protect(const struct span *s, int rights)
{
    if (mprotect((void *)s->address, s->bytes, rights) != 0) {
        fprintf(stderr, "muster: device guarded: mprotect refused %zu bytes; raise vm.max_map_count\n", s->bytes);
        abort(); /* a test device that cannot guard must not pass */
    }
}

static struct device *enter(struct device *d)
{
    struct guarded *g = guarded_of(d);
    for (size_t i = 0; i < g->count; i++)
        span_protect(&g->spans[i], PROT_READ | PROT_WRITE);
    g->inner->rows_alone = d->rows_alone;
    return g->inner;
}

static void leave(struct device *d)
{
    struct guarded *g = guarded_of(d);
    d->flops += g->inner->flops;
    g->inner->flops = 0;
    for (size_t i = 0; i < g->count; i++)
        if (!g->spans[i].open)
            span_protect(&g->spans[i], PROT_NONE);
}

static int guarded_allocate(struct device *d, device_memory *ret, size_t bytes, struct error *e)
{
    struct guarded *g = guarded_of(d);
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (bytes > SIZE_MAX / 2)
        return error_set(e, ERROR_FAILED, "device guarded: %zu bytes asked for", bytes);
    struct span s = {.bytes = (bytes + page) / page * page};
    void *memory = mmap(NULL, s.bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return error_set(e, ERROR_FAILED, "device guarded: %zu bytes requested; this machine does not have them", bytes);
    s.address = (uintptr_t)memory;
    g->spans = grow(g->spans, &g->capacity, g->count + 1, sizeof *g->spans);
    g->spans[g->count++] = s;
    *ret = (device_memory){s.address};
    return 0;
}

static void guarded_release(struct device *d, device_memory m)
{
    struct guarded *g = guarded_of(d);
    for (size_t i = 0; i < g->count; i++)
        if (g->spans[i].address == m.address) {
            munmap((void *)m.address, g->spans[i].bytes);
            g->spans[i] = g->spans[--g->count];
            return;
        }
}

static struct span *span_find(struct guarded *g, device_memory m)
{
    for (size_t i = 0; i < g->count; i++)
        if (m.address >= g->spans[i].address && m.address - g->spans[i].address < g->spans[i].bytes)
            return &g->spans[i];
    return NULL;
}

static void *guarded_host_begin(struct device *d, device_memory m, size_t bytes)
{
    (void)bytes;
    struct span *s = span_find(guarded_of(d), m);
    if (s && s->open++ == 0)
        span_protect(s, PROT_READ | PROT_WRITE);
    return host_pointer(m);
}

static void guarded_host_end(struct device *d, void *host, device_memory m, size_t bytes)
{
    (void)host;
    (void)bytes;
    struct span *s = span_find(guarded_of(d), m);
    if (s && --s->open == 0)
        span_protect(s, PROT_NONE);
}

static int guarded_finish(struct device *d, struct error *e)
{
    struct device *inner = guarded_of(d)->inner;
    return inner->run->finish(inner, e);
}

static void guarded_destroy(struct device *d)
{
    struct guarded *g = guarded_of(d);
    for (size_t i = 0; i < g->count; i++)
        munmap((void *)g->spans[i].address, g->spans[i].bytes);
    g->inner->run->destroy(g->inner);
    free(g->spans);
    free(g);
}

/* An operation: memory opens, the cpu device does it, memory closes. */
#define GUARD(name, parameters, ...)                                                                                             \
    static void guarded_##name parameters                                                                                        \
    {                                                                                                                            \
        struct device *inner = enter(d);                                                                                         \
        inner->run->name(inner, __VA_ARGS__);                                                                                    \
        leave(d);                                                                                                                \
    }

/* clang-format off */
GUARD(upload, (struct device *d, device_memory to, const void *from, size_t bytes), to, from, bytes)
GUARD(download, (struct device *d, void *to, device_memory from, size_t bytes), to, from, bytes)
GUARD(zero, (struct device *d, device_memory m, size_t bytes), m, bytes)
GUARD(copy, (struct device *d, device_memory to, device_memory from, size_t bytes), to, from, bytes)
GUARD(embedding_forward, (struct device *d, device_memory y, device_memory sum, device_memory statistics, device_memory ids,
      device_memory positions, device_memory types, device_memory word, device_memory position, device_memory type,
      device_memory gamma, device_memory beta, float epsilon, const struct dropout *dropout, size_t T, size_t C), y, sum,
      statistics, ids, positions, types, word, position, type, gamma, beta, epsilon, dropout, T, C)
GUARD(embedding_backward, (struct device *d, device_memory dword, device_memory dposition, device_memory dtype, device_memory
      dgamma, device_memory dbeta, device_memory dy, device_memory sum, device_memory statistics, device_memory slots,
      device_memory positions, device_memory types, device_memory gamma, const struct dropout *dropout, size_t T, size_t C,
      size_t U, size_t P, size_t type_count), dword, dposition, dtype, dgamma, dbeta, dy, sum, statistics, slots, positions,
      types, gamma, dropout, T, C, U, P, type_count)
GUARD(linear_forward, (struct device *d, device_memory y, device_memory pre, device_memory x, device_memory w, device_memory
      bias, enum activation activation, size_t N, size_t K, size_t O), y, pre, x, w, bias, activation, N, K, O)
GUARD(linear_backward, (struct device *d, device_memory dx, device_memory dw, device_memory dbias, device_memory dy,
      device_memory x, device_memory w, int add_dx, size_t N, size_t K, size_t O), dx, dw, dbias, dy, x, w, add_dx, N, K, O)
GUARD(activation_backward, (struct device *d, device_memory dpre, device_memory y, device_memory dy, device_memory pre, enum
      activation activation, size_t n), dpre, y, dy, pre, activation, n)
GUARD(gated_forward, (struct device *d, device_memory y, device_memory pre, enum activation activation, size_t N, size_t F), y,
      pre, activation, N, F)
GUARD(gated_backward, (struct device *d, device_memory dpre, device_memory y, device_memory dy, device_memory pre, enum
      activation activation, size_t N, size_t F), dpre, y, dy, pre, activation, N, F)
GUARD(rotate, (struct device *d, device_memory x, device_memory positions, float theta, int backward, size_t T, size_t heads,
      size_t D, size_t stride), x, positions, theta, backward, T, heads, D, stride)
GUARD(window_attention_forward, (struct device *d, device_memory y, device_memory log_sum, device_memory qkv, device_memory
      offsets, const struct attention_window *window, const struct dropout *dropout, size_t B, size_t T, size_t H, size_t D), y, log_sum,
      qkv, offsets, window, dropout, B, T, H, D)
GUARD(window_attention_backward, (struct device *d, device_memory dqkv, device_memory dy, device_memory y, device_memory qkv,
      device_memory log_sum, device_memory offsets, const struct attention_window *window, const struct dropout *dropout, size_t B, size_t
      T, size_t H, size_t D), dqkv, dy, y, qkv, log_sum, offsets, window, dropout, B, T, H, D)
GUARD(relative_attention_forward, (struct device *d, device_memory y, device_memory log_sum, device_memory qkv,
      device_memory offsets, const struct relative_bias *bias, const struct dropout *dropout, size_t B, size_t T, size_t H,
      size_t D), y, log_sum, qkv, offsets, bias, dropout, B, T, H, D)
GUARD(relative_attention_backward, (struct device *d, device_memory dqkv, device_memory dkeys, device_memory dqueries,
      device_memory dy, device_memory y, device_memory qkv, device_memory log_sum, device_memory offsets, const struct
      relative_bias *bias, const struct dropout *dropout, size_t B, size_t T, size_t H, size_t D), dqkv, dkeys, dqueries,
      dy, y, qkv, log_sum, offsets, bias, dropout, B, T, H, D)
GUARD(first_relative_attention_forward, (struct device *d, device_memory y, device_memory log_sum, device_memory q,
      device_memory kv, device_memory offsets, const struct relative_bias *bias, const struct dropout *dropout, size_t B,
      size_t T, size_t H, size_t D), y, log_sum, q, kv, offsets, bias, dropout, B, T, H, D)
GUARD(first_relative_attention_backward, (struct device *d, device_memory dq, device_memory dkv, device_memory dkeys,
      device_memory dqueries, device_memory dy, device_memory y, device_memory q, device_memory kv, device_memory log_sum,
      device_memory offsets, const struct relative_bias *bias, const struct dropout *dropout, size_t B, size_t T, size_t H,
      size_t D), dq, dkv, dkeys, dqueries, dy, y, q, kv, log_sum, offsets, bias, dropout, B, T, H, D)
GUARD(attention_forward, (struct device *d, device_memory y, device_memory log_sum, device_memory qkv, device_memory offsets,
      const struct dropout *dropout, size_t B, size_t T, size_t H, size_t D), y, log_sum, qkv, offsets, dropout, B, T, H, D)
GUARD(attention_backward, (struct device *d, device_memory dqkv, device_memory dy, device_memory y, device_memory qkv,
      device_memory log_sum, device_memory offsets, const struct dropout *dropout, size_t B, size_t T, size_t H, size_t D),
      dqkv, dy, y, qkv, log_sum, offsets, dropout, B, T, H, D)
GUARD(first_attention_forward, (struct device *d, device_memory y, device_memory log_sum, device_memory q, device_memory kv,
      device_memory offsets, const struct dropout *dropout, size_t B, size_t T, size_t H, size_t D), y, log_sum, q, kv, offsets,
      dropout, B, T, H, D)
GUARD(first_attention_backward, (struct device *d, device_memory dq, device_memory dkv, device_memory dy, device_memory y,
      device_memory q, device_memory kv, device_memory log_sum, device_memory offsets, const struct dropout *dropout, size_t B,
      size_t T, size_t H, size_t D), dq, dkv, dy, y, q, kv, log_sum, offsets, dropout, B, T, H, D)
GUARD(projected_attention_forward, (struct device *d, device_memory y, device_memory log_sum, device_memory q, device_memory x,
      device_memory w, device_memory bias, device_memory offsets, const struct dropout *dropout, size_t B, size_t T, size_t H,
      size_t D), y, log_sum, q, x, w, bias, offsets, dropout, B, T, H, D)
GUARD(projected_attention_backward, (struct device *d, device_memory dq, device_memory dx, device_memory dw, device_memory dbias,
      device_memory dy, device_memory y, device_memory q, device_memory x, device_memory w, device_memory bias, device_memory
      log_sum, device_memory offsets, const struct dropout *dropout, size_t B, size_t T, size_t H, size_t D), dq, dx, dw, dbias,
      dy, y, q, x, w, bias, log_sum, offsets, dropout, B, T, H, D)
GUARD(normalize_forward, (struct device *d, device_memory y, device_memory sum, device_memory statistics, device_memory x,
      device_memory z, device_memory gamma, device_memory beta, float epsilon, const struct dropout *dropout, size_t N, size_t
      C), y, sum, statistics, x, z, gamma, beta, epsilon, dropout, N, C)
GUARD(normalize_backward, (struct device *d, device_memory dx, device_memory dz, device_memory dgamma, device_memory dbeta,
      device_memory dy, device_memory sum, device_memory statistics, device_memory gamma, const struct dropout *dropout, size_t
      N, size_t C), dx, dz, dgamma, dbeta, dy, sum, statistics, gamma, dropout, N, C)
GUARD(residual_normalize_backward, (struct device *d, device_memory dx, device_memory dz, device_memory dgamma, device_memory
      dbeta, device_memory dy, device_memory sum, device_memory statistics, device_memory gamma, const struct dropout *dropout,
      size_t N, size_t C), dx, dz, dgamma, dbeta, dy, sum, statistics, gamma, dropout, N, C)
GUARD(first_tokens, (struct device *d, device_memory y, device_memory x, device_memory offsets, size_t B, size_t C), y, x,
      offsets, B, C)
GUARD(first_tokens_backward, (struct device *d, device_memory dx, device_memory dy, device_memory offsets, size_t B, size_t T,
      size_t C), dx, dy, offsets, B, T, C)
GUARD(replace_first_tokens, (struct device *d, device_memory x, device_memory y, device_memory offsets, size_t B, size_t C), x, y,
      offsets, B, C)
GUARD(mean_tokens, (struct device *d, device_memory y, device_memory x, device_memory offsets, size_t B, size_t C), y, x,
      offsets, B, C)
GUARD(mean_tokens_backward, (struct device *d, device_memory dx, device_memory dy, device_memory offsets, size_t B, size_t C),
      dx, dy, offsets, B, C)
GUARD(dropout_apply, (struct device *d, device_memory y, device_memory x, const struct dropout *dropout, int add, size_t N, size_t
      C), y, x, dropout, add, N, C)
GUARD(classifier_forward, (struct device *d, device_memory logits, device_memory x, device_memory w, device_memory bias, size_t
      B, size_t C, size_t L), logits, x, w, bias, B, C, L)
GUARD(classifier_backward, (struct device *d, device_memory dx, device_memory dw, device_memory dbias, device_memory dlogits,
      device_memory x, device_memory w, size_t B, size_t C, size_t L), dx, dw, dbias, dlogits, x, w, B, C, L)
GUARD(scale_columns, (struct device *d, device_memory y, size_t y_stride, device_memory x, size_t x_stride, float scale, int add,
      size_t N, size_t O), y, y_stride, x, x_stride, scale, add, N, O)
GUARD(cross_entropy, (struct device *d, device_memory loss, device_memory dlogits, device_memory logits, device_memory classes,
      device_memory weights, const struct loss_shape *shape, size_t B, size_t L), loss, dlogits, logits, classes, weights, shape,
      B, L)
GUARD(binary_cross_entropy, (struct device *d, device_memory loss, device_memory dlogits, device_memory logits, device_memory
      targets, device_memory positive_weights, const struct loss_shape *shape, size_t B, size_t L), loss, dlogits, logits, targets,
      positive_weights, shape, B, L)
GUARD(add, (struct device *d, device_memory y, device_memory x, size_t n), y, x, n)
GUARD(sum_of_squares, (struct device *d, device_memory sum, device_memory x, size_t n), sum, x, n)
GUARD(loss_sums, (struct device *d, device_memory sums, device_memory bad, device_memory losses, size_t n, size_t each), sums, bad,
      losses, n, each)
GUARD(clip, (struct device *d, device_memory control, device_memory sum, device_memory bad, double divisor, double clip), control,
      sum, bad, divisor, clip)
GUARD(adamw, (struct device *d, device_memory p, device_memory shadow, device_memory g, device_memory m, device_memory v, const
      struct adamw *a, device_memory control, size_t n), p, shadow, g, m, v, a, control, n)
GUARD(adamw_rows, (struct device *d, device_memory p, device_memory g, device_memory m, device_memory v, device_memory seen,
      device_memory slot_of, const struct adamw *a, device_memory control, size_t V, size_t C), p, g, m, v, seen, slot_of, a,
      control, V, C)
GUARD(widen_activation, (struct device *d, device_memory y, device_memory x, size_t n), y, x, n)
GUARD(round_to_activation, (struct device *d, device_memory y, device_memory x, size_t n), y, x, n)
/* clang-format on */

static const struct device_operations operations = {
    .kind = DEVICE_GUARDED,
    .allocate = guarded_allocate,
    .release = guarded_release,
    .upload = guarded_upload,
    .download = guarded_download,
    .download_later = guarded_download,
    .mark = host_mark,
    .passed = host_passed,
    .zero = guarded_zero,
    .copy = guarded_copy,
    .host_begin = guarded_host_begin,
    .host_end = guarded_host_end,
    .finish = guarded_finish,
    .destroy = guarded_destroy,
    .embedding_forward = guarded_embedding_forward,
    .embedding_backward = guarded_embedding_backward,
    .linear_forward = guarded_linear_forward,
    .linear_backward = guarded_linear_backward,
    .activation_backward = guarded_activation_backward,
    .gated_forward = guarded_gated_forward,
    .gated_backward = guarded_gated_backward,
    .rotate = guarded_rotate,
    .window_attention_forward = guarded_window_attention_forward,
    .window_attention_backward = guarded_window_attention_backward,
    .relative_attention_forward = guarded_relative_attention_forward,
    .relative_attention_backward = guarded_relative_attention_backward,
    .first_relative_attention_forward = guarded_first_relative_attention_forward,
    .first_relative_attention_backward = guarded_first_relative_attention_backward,
    .attention_forward = guarded_attention_forward,
    .attention_backward = guarded_attention_backward,
    .first_attention_forward = guarded_first_attention_forward,
    .first_attention_backward = guarded_first_attention_backward,
    .projected_attention_forward = guarded_projected_attention_forward,
    .projected_attention_backward = guarded_projected_attention_backward,
    .normalize_forward = guarded_normalize_forward,
    .normalize_backward = guarded_normalize_backward,
    .residual_normalize_backward = guarded_residual_normalize_backward,
    .first_tokens = guarded_first_tokens,
    .first_tokens_backward = guarded_first_tokens_backward,
    .replace_first_tokens = guarded_replace_first_tokens,
    .mean_tokens = guarded_mean_tokens,
    .mean_tokens_backward = guarded_mean_tokens_backward,
    .dropout_apply = guarded_dropout_apply,
    .classifier_forward = guarded_classifier_forward,
    .classifier_backward = guarded_classifier_backward,
    .scale_columns = guarded_scale_columns,
    .cross_entropy = guarded_cross_entropy,
    .binary_cross_entropy = guarded_binary_cross_entropy,
    .add = guarded_add,
    .sum_of_squares = guarded_sum_of_squares,
    .loss_sums = guarded_loss_sums,
    .clip = guarded_clip,
    .adamw = guarded_adamw,
    .adamw_rows = guarded_adamw_rows,
    .round_to_activation = guarded_round_to_activation,
    .widen_activation = guarded_widen_activation,
};

int guarded_create(struct device **ret, enum precision precision, int threads, struct error *e)
{
    struct device *inner;
    if (cpu_create(&inner, precision, threads, e) != 0)
        return -1;
    struct guarded *g = allocate(1, sizeof *g);
    g->base = (struct device){.run = &operations, .precision = precision, .threads = inner->threads};
    g->inner = inner;
    *ret = &g->base;
    return 0;
}

void guarded_describe(const struct device *d, char *text, size_t size)
{
    char inner[256];
    cpu_describe(((const struct guarded *)d)->inner, inner, sizeof inner);
    snprintf(text, size, "guarded %s", inner);
}
