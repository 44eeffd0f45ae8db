/* Owns the reference device: its table, and attention. */
#include "worker/device/cpu_reference.h"

#include "common/base/memory.h"
#include "worker/device/host.h"
#include "worker/device/host_memory.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* One query of one head against the n tokens of its row. */
struct query {
    const struct device *d;
    device_memory qkv;
    size_t token, first, n, head, H, D;
    const struct dropout *dropout;
};

static size_t query_at(const struct query *a, size_t token, int part, size_t i) /* part 0 q, 1 k, 2 v */
{
    size_t C = a->H * a->D;
    return token * 3 * C + (size_t)part * C + a->head * a->D + i;
}

static double query_score(const struct query *a, size_t j)
{
    double ret = 0;
    for (size_t i = 0; i < a->D; i++)
        ret +=
            (double)act_get(a->d, a->qkv, query_at(a, a->token, 0, i)) * act_get(a->d, a->qkv, query_at(a, a->first + j, 1, i));
    return ret / sqrt((double)a->D);
}

static float query_dropout(const struct query *a, size_t j)
{
    return dropout_factor(a->dropout, a->token, (uint32_t)(a->head << 19 | j));
}

static double query_log_sum(const struct query *a)
{
    double max = -INFINITY, sum = 0;
    for (size_t j = 0; j < a->n; j++)
        max = fmax(max, query_score(a, j));
    for (size_t j = 0; j < a->n; j++)
        sum += exp(query_score(a, j) - max);
    return max + log(sum);
}

static void query_forward(const struct query *a, device_memory y, double log_sum)
{
    for (size_t i = 0; i < a->D; i++) {
        double sum = 0;
        for (size_t j = 0; j < a->n; j++)
            sum +=
                exp(query_score(a, j) - log_sum) * query_dropout(a, j) * act_get(a->d, a->qkv, query_at(a, a->first + j, 2, i));
        act_put(a->d, y, (a->token * a->H + a->head) * a->D + i, (float)sum);
    }
}

/* Calls visit for each query of each head of each row. */
static void each_query(struct query *a, device_memory offsets, size_t B, void (*visit)(const struct query *a, void *context),
                       void *context)
{
    const int32_t *first = host_i32(offsets);
    for (size_t b = 0; b < B; b++)
        for (a->head = 0; a->head < a->H; a->head++) {
            a->first = (size_t)first[b];
            a->n = (size_t)(first[b + 1] - first[b]);
            for (a->token = a->first; a->token < a->first + a->n; a->token++)
                visit(a, context);
        }
}

struct forward {
    device_memory y;
    float *log_sum;
    size_t T;
};

static void visit_forward(const struct query *a, void *context)
{
    struct forward *f = context;
    double log_sum = query_log_sum(a);
    f->log_sum[a->head * f->T + a->token] = (float)log_sum;
    query_forward(a, f->y, log_sum);
}

void reference_attention_forward(struct device *d, device_memory y, device_memory log_sum, device_memory qkv,
                                 device_memory offsets, const struct dropout *dropout, size_t B, size_t T, size_t H, size_t D)
{
    d->flops += attention_flops(offsets, B, H * D, 4);
    struct query a = {.d = d, .qkv = qkv, .H = H, .D = D, .dropout = dropout};
    struct forward f = {y, host_f32(log_sum), T};
    each_query(&a, offsets, B, visit_forward, &f);
}

struct backward {
    device_memory dy;
    const float *log_sum;
    size_t T;
    double *dqkv; /* (T,3C) */
};

/* p = softmax(s), y = sum of p m v: dv += p m dy, dp = m (dy . v), ds = p (dp - sum of p dp). */
static void visit_backward(const struct query *a, void *context)
{
    struct backward *b = context;
    double sum = 0, log_sum = b->log_sum[a->head * b->T + a->token], scale = 1 / sqrt((double)a->D);
    for (int pass = 0; pass < 2; pass++)
        for (size_t j = 0; j < a->n; j++) {
            double p = exp(query_score(a, j) - log_sum), m = query_dropout(a, j), dp = 0;
            for (size_t i = 0; i < a->D; i++)
                dp += m * act_get(a->d, b->dy, (a->token * a->H + a->head) * a->D + i) *
                      act_get(a->d, a->qkv, query_at(a, a->first + j, 2, i));
            if (pass == 0) {
                sum += p * dp;
                continue;
            }
            double ds = p * (dp - sum) * scale;
            for (size_t i = 0; i < a->D; i++) {
                size_t q = query_at(a, a->token, 0, i), k = query_at(a, a->first + j, 1, i), v = query_at(a, a->first + j, 2, i);
                b->dqkv[v] += p * m * act_get(a->d, b->dy, (a->token * a->H + a->head) * a->D + i);
                b->dqkv[q] += ds * act_get(a->d, a->qkv, k);
                b->dqkv[k] += ds * act_get(a->d, a->qkv, q);
            }
        }
}

void reference_attention_backward(struct device *d, device_memory dqkv, device_memory dy, device_memory y, device_memory qkv,
                                  device_memory log_sum, device_memory offsets, const struct dropout *dropout, size_t B, size_t T,
                                  size_t H, size_t D)
{
    (void)y; /* others take sum of p dp from it: it is dy . y */
    struct query a = {.d = d, .qkv = qkv, .H = H, .D = D, .dropout = dropout};
    d->flops += attention_flops(offsets, B, H * D, 8);
    struct backward b = {dy, host_f32(log_sum), T, allocate(T * 3 * H * D, sizeof(double))};
    each_query(&a, offsets, B, visit_backward, &b);
    for (size_t i = 0; i < T * 3 * H * D; i++)
        act_put(d, dqkv, i, (float)b.dqkv[i]);
    free(b.dqkv);
}

static void reference_destroy(struct device *d)
{
    free(d);
}

static const struct device_operations operations = {
    .name = "cpu_reference",
    .allocate = host_allocate,
    .release = host_release,
    .upload = host_upload,
    .download = host_download,
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
    .attention_forward = reference_attention_forward,
    .attention_backward = reference_attention_backward,
    .normalize_forward = reference_normalize_forward,
    .normalize_backward = reference_normalize_backward,
    .first_tokens = reference_first_tokens,
    .first_tokens_backward = reference_first_tokens_backward,
    .dropout_apply = reference_dropout_apply,
    .classifier_forward = reference_classifier_forward,
    .classifier_backward = reference_classifier_backward,
    .cross_entropy = reference_cross_entropy,
    .binary_cross_entropy = reference_binary_cross_entropy,
    .add = reference_add,
    .sum_of_squares = reference_sum_of_squares,
    .adamw = reference_adamw,
    .adamw_rows = reference_adamw_rows,
    .round_to_activation = reference_round_to_activation,
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
    snprintf(text, size, "cpu_reference (plain C, %s), 1 thread", precision_names[d->precision]);
}
