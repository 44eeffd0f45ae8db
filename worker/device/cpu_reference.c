/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the reference device: its table, and attention. */
#include "worker/device/cpu_reference.h"

#include "common/base/memory.h"
#include "worker/device/host.h"
#include "worker/device/host_memory.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Vectors of tokens, `stride` elements apart. */
struct vectors {
    device_memory at;
    size_t stride;
};

/* One query of one head against the n tokens of its row. */
struct query {
    const struct device *d;
    struct vectors q, k, v;
    size_t number, first, n, head, H, D; /* number: of the query among all */
    bool first_only;
    const struct dropout *dropout;
    const struct attention_window *window; /* NULL: all tokens are seen */
    const struct relative_bias *bias;      /* or NULL */
};

static bool query_sees(const struct query *a, size_t j)
{
    return a->first_only || window_sees(a->window, a->number - a->first, j);
}

static struct query all_queries(const struct device *d, device_memory qkv, size_t H, size_t D)
{
    size_t part = H * D * precision_bytes(d->precision), stride = 3 * H * D;
    struct vectors q = {qkv, stride}, k = {device_at(qkv, part), stride}, v = {device_at(qkv, 2 * part), stride};
    return (struct query){.d = d, .q = q, .k = k, .v = v, .H = H, .D = D};
}

static struct query first_queries(const struct device *d, device_memory q, device_memory kv, size_t H, size_t D)
{
    struct vectors first = {q, H * D}, k = {kv, 2 * H * D}, v = {device_at(kv, H * D * precision_bytes(d->precision)), 2 * H * D};
    return (struct query){.d = d, .q = first, .k = k, .v = v, .H = H, .D = D, .first_only = true};
}

static double element(const struct query *a, struct vectors v, size_t vector, size_t i)
{
    return act_get(a->d, v.at, vector * v.stride + a->head * a->D + i);
}

/* Of key j's distance. */
static size_t relative_place(const struct query *a, size_t j)
{
    size_t position = a->first_only ? 0 : a->number - a->first;
    return (size_t)host_i32(a->bias->places)[position + a->bias->reach - 1 - j];
}

static double query_scale(const struct query *a)
{
    return 1 / sqrt((double)a->D * (a->bias ? relative_products(a->bias) : 1));
}

static double relative_score(const struct query *a, size_t j)
{
    double ret = 0;
    const struct vectors keys = {a->bias->keys, a->bias->stride}, queries = {a->bias->queries, a->bias->stride};
    size_t place = relative_place(a, j);
    for (size_t i = 0; i < a->D && keys.at.address; i++)
        ret += element(a, a->q, a->number, i) * element(a, keys, place, i);
    for (size_t i = 0; i < a->D && queries.at.address; i++)
        ret += element(a, a->k, a->first + j, i) * element(a, queries, place, i);
    return ret;
}

/* (n) scores of the keys, -infinity where one is not seen; to be freed. */
static double *query_scores(const struct query *a)
{
    double *ret = allocate(a->n, sizeof *ret), scale = query_scale(a);
    for (size_t j = 0; j < a->n; j++) {
        ret[j] = -INFINITY;
        if (!query_sees(a, j))
            continue;
        ret[j] = a->bias ? relative_score(a, j) : 0;
        for (size_t i = 0; i < a->D; i++)
            ret[j] += element(a, a->q, a->number, i) * element(a, a->k, a->first + j, i);
        ret[j] *= scale;
    }
    return ret;
}

static float query_dropout(const struct query *a, size_t j)
{
    return dropout_factor(a->dropout, a->number, (uint32_t)(a->head << 19 | j));
}

static double query_log_sum(const double *scores, size_t n)
{
    double max = -INFINITY, sum = 0;
    for (size_t j = 0; j < n; j++)
        max = fmax(max, scores[j]);
    for (size_t j = 0; j < n; j++)
        sum += exp(scores[j] - max);
    return max + log(sum);
}

static void query_forward(const struct query *a, device_memory y, const double *scores, double log_sum)
{
    double *sums = allocate(a->D, sizeof *sums);
    for (size_t j = 0; j < a->n; j++) {
        if (!query_sees(a, j))
            continue;
        double weight = exp(scores[j] - log_sum) * query_dropout(a, j);
        for (size_t i = 0; i < a->D; i++)
            sums[i] += weight * element(a, a->v, a->first + j, i);
    }
    for (size_t i = 0; i < a->D; i++)
        act_put(a->d, y, (a->number * a->H + a->head) * a->D + i, (float)sums[i]);
    free(sums);
}

/* Calls callback for each query of each head of each row. */
static void each_query(struct query *a, device_memory offsets, size_t B, void (*callback)(const struct query *a, void *context),
                       void *context)
{
    const int32_t *first = host_i32(offsets);
    for (size_t b = 0; b < B; b++)
        for (a->head = 0; a->head < a->H; a->head++) {
            a->first = (size_t)first[b];
            a->n = (size_t)(first[b + 1] - first[b]);
            size_t from = a->first_only ? b : a->first, queries = a->first_only ? 1 : a->n;
            for (a->number = from; a->number < from + queries; a->number++)
                callback(a, context);
        }
}

struct forward {
    device_memory y;
    float *log_sum;
    size_t N;
};

static void visit_forward(const struct query *a, void *context)
{
    struct forward *f = context;
    double *scores = query_scores(a), log_sum = query_log_sum(scores, a->n);
    f->log_sum[a->head * f->N + a->number] = (float)log_sum;
    query_forward(a, f->y, scores, log_sum);
    free(scores);
}

void reference_window_attention_forward(struct device *d, device_memory y, device_memory log_sum, device_memory qkv,
                                        device_memory offsets, const struct attention_window *window,
                                        const struct dropout *dropout, size_t B, size_t T, size_t H, size_t D)
{
    d->flops += window_attention_flops(offsets, window, B, H * D, 4);
    struct query a = all_queries(d, qkv, H, D);
    a.dropout = dropout;
    a.window = window;
    struct forward f = {y, host_f32(log_sum), T};
    each_query(&a, offsets, B, visit_forward, &f);
}

void reference_attention_forward(struct device *d, device_memory y, device_memory log_sum, device_memory qkv,
                                 device_memory offsets, const struct dropout *dropout, size_t B, size_t T, size_t H, size_t D)
{
    const struct attention_window all = {0};
    reference_window_attention_forward(d, y, log_sum, qkv, offsets, &all, dropout, B, T, H, D);
}

void reference_first_attention_forward(struct device *d, device_memory y, device_memory log_sum, device_memory q,
                                       device_memory kv, device_memory offsets, const struct dropout *dropout, size_t B, size_t T,
                                       size_t H, size_t D)
{
    (void)T;
    d->flops += first_attention_flops(offsets, B, H * D, 4);
    struct query a = first_queries(d, q, kv, H, D);
    a.dropout = dropout;
    struct forward f = {y, host_f32(log_sum), B};
    each_query(&a, offsets, B, visit_forward, &f);
}

struct backward {
    device_memory dy;
    const float *log_sum;
    size_t N;
    double *dq, *dk, *dv;     /* with the strides of what they are gradients of */
    double *dkeys, *dqueries; /* (S,C) of a bias; NULL: none */
};

static void visit_bias(const struct query *a, struct backward *b, size_t j, double ds)
{
    size_t at = a->head * a->D, place = relative_place(a, j);
    const struct vectors keys = {a->bias->keys, a->bias->stride}, queries = {a->bias->queries, a->bias->stride};
    for (size_t i = 0; i < a->D && keys.at.address; i++) {
        b->dq[a->number * a->q.stride + at + i] += ds * element(a, keys, place, i);
        b->dkeys[place * a->H * a->D + at + i] += ds * element(a, a->q, a->number, i);
    }
    for (size_t i = 0; i < a->D && queries.at.address; i++) {
        b->dk[(a->first + j) * a->k.stride + at + i] += ds * element(a, queries, place, i);
        b->dqueries[place * a->H * a->D + at + i] += ds * element(a, a->k, a->first + j, i);
    }
}

/* p = softmax(s), y = sum of p m v: dv += p m dy, dp = m (dy . v), ds = p (dp - sum of p dp). */
static void visit_backward(const struct query *a, void *context)
{
    struct backward *b = context;
    double *p = query_scores(a), *dp = allocate(a->n, sizeof *dp);
    double sum = 0, log_sum = b->log_sum[a->head * b->N + a->number], scale = query_scale(a);
    size_t at = a->head * a->D;
    const struct vectors dy = {b->dy, a->H * a->D};
    for (size_t j = 0; j < a->n; j++) {
        if (!query_sees(a, j))
            continue;
        double m = query_dropout(a, j);
        p[j] = exp(p[j] - log_sum);
        for (size_t i = 0; i < a->D; i++)
            dp[j] += m * element(a, dy, a->number, i) * element(a, a->v, a->first + j, i);
        sum += p[j] * dp[j];
    }
    for (size_t j = 0; j < a->n; j++) {
        if (!query_sees(a, j))
            continue;
        double m = query_dropout(a, j), ds = p[j] * (dp[j] - sum) * scale;
        for (size_t i = 0; i < a->D; i++) {
            b->dv[(a->first + j) * a->v.stride + at + i] += p[j] * m * element(a, dy, a->number, i);
            b->dq[a->number * a->q.stride + at + i] += ds * element(a, a->k, a->first + j, i);
            b->dk[(a->first + j) * a->k.stride + at + i] += ds * element(a, a->q, a->number, i);
        }
        if (a->bias)
            visit_bias(a, b, j, ds);
    }
    free(p);
    free(dp);
}

static void put_all(struct device *d, device_memory to, const double *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        act_put(d, to, i, (float)from[i]);
}

void reference_window_attention_backward(struct device *d, device_memory dqkv, device_memory dy, device_memory y,
                                         device_memory qkv, device_memory log_sum, device_memory offsets,
                                         const struct attention_window *window, const struct dropout *dropout, size_t B, size_t T,
                                         size_t H, size_t D)
{
    (void)y; /* others take sum of p dp from it: it is dy . y */
    size_t C = H * D;
    struct query a = all_queries(d, qkv, H, D);
    a.dropout = dropout;
    a.window = window;
    d->flops += window_attention_flops(offsets, window, B, C, 8);
    double *sums = allocate(T * 3 * C, sizeof *sums);
    struct backward b = {dy, host_f32(log_sum), T, sums, sums + C, sums + 2 * C, NULL, NULL};
    each_query(&a, offsets, B, visit_backward, &b);
    put_all(d, dqkv, sums, T * 3 * C);
    free(sums);
}

void reference_attention_backward(struct device *d, device_memory dqkv, device_memory dy, device_memory y, device_memory qkv,
                                  device_memory log_sum, device_memory offsets, const struct dropout *dropout, size_t B, size_t T,
                                  size_t H, size_t D)
{
    const struct attention_window all = {0};
    reference_window_attention_backward(d, dqkv, dy, y, qkv, log_sum, offsets, &all, dropout, B, T, H, D);
}

void reference_first_attention_backward(struct device *d, device_memory dq, device_memory dkv, device_memory dy, device_memory y,
                                        device_memory q, device_memory kv, device_memory log_sum, device_memory offsets,
                                        const struct dropout *dropout, size_t B, size_t T, size_t H, size_t D)
{
    (void)y;
    size_t C = H * D;
    struct query a = first_queries(d, q, kv, H, D);
    a.dropout = dropout;
    d->flops += first_attention_flops(offsets, B, C, 8);
    double *queries = allocate(B * C, sizeof *queries), *sums = allocate(T * 2 * C, sizeof *sums);
    struct backward b = {dy, host_f32(log_sum), B, queries, sums, sums + C, NULL, NULL};
    each_query(&a, offsets, B, visit_backward, &b);
    put_all(d, dq, queries, B * C);
    put_all(d, dkv, sums, T * 2 * C);
    free(queries);
    free(sums);
}

void reference_relative_attention_forward(struct device *d, device_memory y, device_memory log_sum, device_memory qkv,
                                          device_memory offsets, const struct relative_bias *bias, const struct dropout *dropout,
                                          size_t B, size_t T, size_t H, size_t D)
{
    d->flops += attention_flops(offsets, B, H * D, 2 + 2 * relative_products(bias));
    struct query a = all_queries(d, qkv, H, D);
    a.dropout = dropout;
    a.bias = bias;
    struct forward f = {y, host_f32(log_sum), T};
    each_query(&a, offsets, B, visit_forward, &f);
}

void reference_first_relative_attention_forward(struct device *d, device_memory y, device_memory log_sum, device_memory q,
                                                device_memory kv, device_memory offsets, const struct relative_bias *bias,
                                                const struct dropout *dropout, size_t B, size_t T, size_t H, size_t D)
{
    (void)T;
    d->flops += first_attention_flops(offsets, B, H * D, 2 + 2 * relative_products(bias));
    struct query a = first_queries(d, q, kv, H, D);
    a.dropout = dropout;
    a.bias = bias;
    struct forward f = {y, host_f32(log_sum), B};
    each_query(&a, offsets, B, visit_forward, &f);
}

static void put_rows(struct device *d, device_memory to, size_t stride, const double *from, size_t rows, size_t C)
{
    for (size_t i = 0; i < rows * C && to.address; i++)
        act_put(d, to, i / C * stride + i % C, (float)from[i]);
}

void reference_relative_attention_backward(struct device *d, device_memory dqkv, device_memory dkeys, device_memory dqueries,
                                           device_memory dy, device_memory y, device_memory qkv, device_memory log_sum,
                                           device_memory offsets, const struct relative_bias *bias, const struct dropout *dropout,
                                           size_t B, size_t T, size_t H, size_t D)
{
    (void)y;
    size_t C = H * D, S = bias->S;
    struct query a = all_queries(d, qkv, H, D);
    a.dropout = dropout;
    a.bias = bias;
    d->flops += attention_flops(offsets, B, C, 4 + 4 * relative_products(bias));
    double *sums = allocate((T * 3 + 2 * S) * C, sizeof *sums), *of_keys = sums + T * 3 * C, *of_queries = of_keys + S * C;
    struct backward b = {dy, host_f32(log_sum), T, sums, sums + C, sums + 2 * C, of_keys, of_queries};
    each_query(&a, offsets, B, visit_backward, &b);
    put_all(d, dqkv, sums, T * 3 * C);
    put_rows(d, dkeys, bias->stride, of_keys, S, C);
    put_rows(d, dqueries, bias->stride, of_queries, S, C);
    free(sums);
}

void reference_first_relative_attention_backward(struct device *d, device_memory dq, device_memory dkv, device_memory dkeys,
                                                 device_memory dqueries, device_memory dy, device_memory y, device_memory q,
                                                 device_memory kv, device_memory log_sum, device_memory offsets,
                                                 const struct relative_bias *bias, const struct dropout *dropout, size_t B,
                                                 size_t T, size_t H, size_t D)
{
    (void)y;
    size_t C = H * D, S = bias->S;
    struct query a = first_queries(d, q, kv, H, D);
    a.dropout = dropout;
    a.bias = bias;
    d->flops += first_attention_flops(offsets, B, C, 4 + 4 * relative_products(bias));
    double *sums = allocate((B + 2 * T + 2 * S) * C, sizeof *sums), *of_keys = sums + (B + 2 * T) * C;
    struct backward b = {dy, host_f32(log_sum), B, sums, sums + B * C, sums + (B + 1) * C, of_keys, of_keys + S * C};
    each_query(&a, offsets, B, visit_backward, &b);
    put_all(d, dq, sums, B * C);
    put_all(d, dkv, sums + B * C, T * 2 * C);
    put_rows(d, dkeys, bias->stride, of_keys, S, C);
    put_rows(d, dqueries, bias->stride, of_keys + S * C, S, C);
    free(sums);
}

static void reference_destroy(struct device *d)
{
    free(d);
}

static const struct device_operations operations = {
    .kind = DEVICE_CPU_REFERENCE,
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
    .finish = host_finish,
    .destroy = reference_destroy,
    .embedding_forward = reference_embedding_forward,
    .embedding_backward = reference_embedding_backward,
    .linear_forward = reference_linear_forward,
    .linear_backward = reference_linear_backward,
    .activation_backward = reference_activation_backward,
    .gated_forward = reference_gated_forward,
    .gated_backward = reference_gated_backward,
    .rotate = reference_rotate,
    .window_attention_forward = reference_window_attention_forward,
    .window_attention_backward = reference_window_attention_backward,
    .relative_attention_forward = reference_relative_attention_forward,
    .relative_attention_backward = reference_relative_attention_backward,
    .first_relative_attention_forward = reference_first_relative_attention_forward,
    .first_relative_attention_backward = reference_first_relative_attention_backward,
    .attention_forward = reference_attention_forward,
    .attention_backward = reference_attention_backward,
    .first_attention_forward = reference_first_attention_forward,
    .first_attention_backward = reference_first_attention_backward,
    .projected_attention_forward = reference_projected_attention_forward,
    .projected_attention_backward = reference_projected_attention_backward,
    .normalize_forward = reference_normalize_forward,
    .normalize_backward = reference_normalize_backward,
    .residual_normalize_backward = reference_residual_normalize_backward,
    .first_tokens = reference_first_tokens,
    .first_tokens_backward = reference_first_tokens_backward,
    .replace_first_tokens = reference_replace_first_tokens,
    .mean_tokens = reference_mean_tokens,
    .mean_tokens_backward = reference_mean_tokens_backward,
    .dropout_apply = reference_dropout_apply,
    .classifier_forward = reference_classifier_forward,
    .classifier_backward = reference_classifier_backward,
    .cross_entropy = reference_cross_entropy,
    .binary_cross_entropy = reference_binary_cross_entropy,
    .scale_columns = reference_scale_columns,
    .add = reference_add,
    .sum_of_squares = reference_sum_of_squares,
    .loss_sums = reference_loss_sums,
    .clip = reference_clip,
    .adamw = reference_adamw,
    .adamw_rows = reference_adamw_rows,
    .round_to_activation = reference_round_to_activation,
    .widen_activation = reference_widen_activation,
};

int cpu_reference_create(struct device **ret, enum precision precision, int threads, struct error *e)
{
    (void)threads;
    (void)e;
    struct device *d = allocate(1, sizeof *d);
    *d = (struct device){.run = &operations, .precision = precision, .threads = 1};
    *ret = d;
    return 0;
}

void cpu_reference_describe(const struct device *d, char *text, size_t size)
{
    (void)d;
    snprintf(text, size, "cpu_reference (plain C), 1 thread");
}
