/* SPDX-License-Identifier: Apache-2.0 */
/* Every operation of every device, at every instruction set of this machine, against the reference; bits from run to run. */
#include "harness.h"

struct shape {
    size_t lengths[8], B, C, F, H, D, L;
    float dropout;
};

#ifdef MUSTER_EMULATED
enum { OPTIMIZED = 17000 }; /* more than one part of sum_of_squares */
#else
enum { OPTIMIZED = 40000 };
#endif

/* Tails that divide by nothing; one of the real width. */
static const struct shape shapes[] = {
#ifdef MUSTER_EMULATED /* a thousandth of a processor's speed */
    {{1, 2, 34}, 3, 20, 53, 5, 4, 3, 0.1f},
    {{17, 65, 3}, 3, 32, 130, 1, 32, 7, 0.1f},
    {{66}, 1, 64, 33, 1, 64, 2, 0},
    {{9}, 1, 90, 77, 1, 90, 2, 0.5f},
#else
    {{17, 65, 3}, 3, 64, 130, 2, 32, 7, 0.1f}, {{1, 2, 34}, 3, 20, 53, 5, 4, 3, 0.1f}, {{129}, 1, 128, 33, 2, 64, 2, 0},
    {{511, 1}, 2, 24, 96, 3, 8, 1, 0.3f},      {{1, 2, 34}, 3, 20, 53, 5, 4, 3, 0},    {{40, 23}, 2, 90, 77, 1, 90, 2, 0.5f},
#endif
};

/* MUSTER_TEST_SHORT: under a tool that slows a GPU down a hundred times; tiles of tensor cores, and tails. */
static size_t shapes_tried(void)
{
    return getenv("MUSTER_TEST_SHORT") ? 2 : sizeof shapes / sizeof *shapes;
}

static void case_linear(struct bench *b, const struct shape *s, enum activation activation)
{
    const struct device_operations *run = b->d->run;
    size_t N = 37 + s->lengths[0], K = s->C, O = s->F;
    device_memory x = put_random(b, ACT, N * K, 1), w = put_random(b, ACT, O * K, 0.3f), bias = put_random(b, F32, O, 1);
    device_memory y = space(b, ACT, N * O), pre = space(b, ACT, N * O), bare = space(b, ACT, N * O);
    run->linear_forward(b->d, y, activation == ACTIVATION_NONE ? y : pre, x, w, bias, activation, N, K, O);
    run->linear_forward(b->d, bare, DEVICE_NOTHING, x, w, bias, activation, N, K, O);
    record(b, "y", ACT, y, N * O);
    record(b, "y without pre", ACT, bare, N * O);
    if (activation != ACTIVATION_NONE)
        record(b, "pre", ACT, pre, N * O);
    device_memory dy = put_random(b, ACT, N * O, 1), dx = space(b, ACT, N * K), sum = put_random(b, ACT, N * K, 1);
    device_memory dw = space(b, F32, O * K), dbias = space(b, F32, O);
    run->linear_backward(b->d, dx, dw, dbias, dy, x, w, 0, N, K, O);
    record(b, "dx", ACT, dx, N * K);
    record(b, "dw", F32, dw, O * K);
    record(b, "dbias", F32, dbias, O);
    run->linear_backward(b->d, sum, dw, dbias, dy, x, w, 1, N, K, O);
    record(b, "dx +=", ACT, sum, N * K);
    run->linear_backward(b->d, DEVICE_NOTHING, dw, dbias, dy, x, w, 0, N, K, O);
    record(b, "dw without dx", F32, dw, O * K);
}

static void linear_none(struct bench *b, const struct shape *s)
{
    case_linear(b, s, ACTIVATION_NONE);
}

static void linear_gelu(struct bench *b, const struct shape *s)
{
    case_linear(b, s, ACTIVATION_GELU);
}

static void linear_others(struct bench *b, const struct shape *s)
{
    static const enum activation all[] = {ACTIVATION_GELU_NEW, ACTIVATION_RELU, ACTIVATION_TANH};
    for (int i = 0; i < 3; i++)
        case_linear(b, s, all[i]);
}

static void activation_backward(struct bench *b, const struct shape *s)
{
    static const enum activation all[] = {ACTIVATION_NONE, ACTIVATION_GELU, ACTIVATION_GELU_NEW, ACTIVATION_RELU,
                                          ACTIVATION_TANH};
    const struct device_operations *run = b->d->run;
    for (int i = 0; i < 5; i++) {
        size_t n = 37 * s->F + 5;
        device_memory dy = put_random(b, ACT, n, 1), pre = put_random(b, ACT, n, all[i] == ACTIVATION_TANH ? 0.2f : 2);
        device_memory dpre = space(b, ACT, n), y = space(b, ACT, n);
        run->activation_backward(b->d, dpre, y, dy, pre, all[i], n);
        record(b, "dpre", ACT, dpre, n);
        record(b, "y", ACT, y, n);
        device_memory again = space(b, ACT, n);
        run->activation_backward(b->d, DEVICE_NOTHING, again, DEVICE_NOTHING, pre, all[i], n);
        record(b, "y alone", ACT, again, n);
        run->activation_backward(b->d, dy, DEVICE_NOTHING, dy, pre, all[i], n);
        record(b, "dpre in place of dy", ACT, dy, n);
        run->activation_backward(b->d, pre, DEVICE_NOTHING, dpre, pre, all[i], n);
        record(b, "dpre in place of pre", ACT, pre, n);
    }
}

static void attention(struct bench *b, const struct shape *s)
{
    const struct device_operations *run = b->d->run;
    size_t C = s->H * s->D;
    struct rows r = put_rows(b, s->lengths, s->B, 1000);
    struct dropout p = dropout_of(&r, s->dropout, 5);
    device_memory qkv = put_random(b, ACT, r.T * 3 * C, 1), y = space(b, ACT, r.T * C), log_sum = space(b, F32, s->H * r.T);
    run->attention_forward(b->d, y, log_sum, qkv, r.offsets, &p, r.B, r.T, s->H, s->D);
    record(b, "y", ACT, y, r.T * C);
    record(b, "log_sum", F32, log_sum, s->H * r.T);
    device_memory dy = put_random(b, ACT, r.T * C, 1), dqkv = space(b, ACT, r.T * 3 * C);
    run->attention_backward(b->d, dqkv, dy, y, qkv, log_sum, r.offsets, &p, r.B, r.T, s->H, s->D);
    record(b, "dqkv", ACT, dqkv, r.T * 3 * C);
}

static void first_attention(struct bench *b, const struct shape *s)
{
    const struct device_operations *run = b->d->run;
    size_t C = s->H * s->D;
    struct rows r = put_rows(b, s->lengths, s->B, 1000);
    struct dropout p = dropout_of(&r, s->dropout, 5); /* of as many vectors as there are queries: one a row */
    device_memory q = put_random(b, ACT, r.B * C, 1), kv = put_random(b, ACT, r.T * 2 * C, 1);
    device_memory y = space(b, ACT, r.B * C), log_sum = space(b, F32, s->H * r.B);
    run->first_attention_forward(b->d, y, log_sum, q, kv, r.offsets, &p, r.B, r.T, s->H, s->D);
    record(b, "y", ACT, y, r.B * C);
    record(b, "log_sum", F32, log_sum, s->H * r.B);
    device_memory dy = put_random(b, ACT, r.B * C, 1), dq = space(b, ACT, (r.B + 2 * r.T) * C);
    device_memory dkv =
        device_at(dq, r.B * C * type_bytes(b, ACT)); /* side by side, as elsewhere: one scale of what may be off */
    run->first_attention_backward(b->d, dq, dkv, dy, y, q, kv, log_sum, r.offsets, &p, r.B, r.T, s->H, s->D);
    record(b, "dq, dkv", ACT, dq, (r.B + 2 * r.T) * C);
}

static void projected_attention(struct bench *b, const struct shape *s)
{
    const struct device_operations *run = b->d->run;
    size_t C = s->H * s->D;
    struct rows r = put_rows(b, s->lengths, s->B, 1000);
    struct dropout p = dropout_of(&r, s->dropout, 5);
    device_memory q = put_random(b, ACT, r.B * C, 1), x = put_random(b, ACT, r.T * C, 1), w = put_random(b, ACT, 2 * C * C, 0.2f);
    device_memory bias = put_random(b, F32, 2 * C, 1), y = space(b, ACT, r.B * C), log_sum = space(b, F32, s->H * r.B);
    device_memory dy = put_random(b, ACT, r.B * C, 1), dq = space(b, ACT, r.B * C), dx = put_random(b, ACT, r.T * C, 1);
    device_memory dw = space(b, F32, 2 * C * (C + 1)), dbias = device_at(dw, 2 * C * C * sizeof(float));
    for (int with = 0; with < 2; with++) {
        device_memory added = with ? bias : DEVICE_NOTHING;
        run->projected_attention_forward(b->d, y, log_sum, q, x, w, added, r.offsets, &p, r.B, r.T, s->H, s->D);
        record(b, "y", ACT, y, r.B * C);
        run->projected_attention_backward(b->d, dq, dx, dw, dbias, dy, y, q, x, w, added, log_sum, r.offsets, &p, r.B, r.T, s->H,
                                          s->D);
        record(b, "dq", ACT, dq, r.B * C);
        record(b, "dx +=", ACT, dx, r.T * C);
        record(b, "dw, dbias", F32, dw, 2 * C * (C + 1)); /* side by side: of the keys' bias there is only rounding */
    }
    run->projected_attention_backward(b->d, dq, DEVICE_NOTHING, DEVICE_NOTHING, DEVICE_NOTHING, dy, y, q, x, w, bias, log_sum,
                                      r.offsets, &p, r.B, r.T, s->H, s->D);
    record(b, "dq alone", ACT, dq, r.B * C);
}

/* Windows smaller and larger than rows, with and without the first token; for rows longer than a block of queries, too. */
static void window_attention(struct bench *b, const struct shape *s)
{
    static const struct attention_window windows[] = {
#ifndef MUSTER_EMULATED
        {1, 0}, {1, 1}, {20, 1}, {64, 1}, {200, 1}, {1000, 1}, {0, 1},
#endif
        {5, 1}, {20, 0}};
    const struct device_operations *run = b->d->run;
    size_t C = s->H * s->D;
    struct rows r = put_rows(b, s->lengths, s->B, 1000);
    struct dropout p = dropout_of(&r, s->dropout, 5);
    device_memory qkv = put_random(b, ACT, r.T * 3 * C, 1), dy = put_random(b, ACT, r.T * C, 1);
    device_memory y = space(b, ACT, r.T * C), log_sum = space(b, F32, s->H * r.T), dqkv = space(b, ACT, r.T * 3 * C);
    for (size_t i = 0; i < sizeof windows / sizeof *windows; i++) {
        const struct attention_window *w = &windows[i];
        run->window_attention_forward(b->d, y, log_sum, qkv, r.offsets, w, &p, r.B, r.T, s->H, s->D);
        record(b, "y", ACT, y, r.T * C);
        record(b, "log_sum", F32, log_sum, s->H * r.T);
        run->window_attention_backward(b->d, dqkv, dy, y, qkv, log_sum, r.offsets, w, &p, r.B, r.T, s->H, s->D);
        record(b, "dqkv", ACT, dqkv, r.T * 3 * C);
    }
}

/* Distances that are all told apart, that end before the row does, that are bundled, that skip places; a bias of both kinds or of
 * one. */
static void relative_attention(struct bench *b, const struct shape *s)
{
    static const struct {
        int span, near, step;
        bool keys, queries;
    } biases[] = {{24, 9, 3, true, true},
#ifndef MUSTER_EMULATED
                  {7, 600, 1, true, true},
                  {600, 600, 1, true, false},
                  {90, 6, -3, false, true}
#endif
    };
    const struct device_operations *run = b->d->run;
    size_t C = s->H * s->D;
    struct rows r = put_rows(b, s->lengths, s->B, 1000);
    struct dropout p = dropout_of(&r, s->dropout, 5);
    device_memory qkv = put_random(b, ACT, r.T * 3 * C, 1), dy = put_random(b, ACT, r.T * C, 1), kv = qkv;
    device_memory y = space(b, ACT, r.T * C), log_sum = space(b, F32, s->H * r.T);
    for (size_t i = 0; i < sizeof biases / sizeof *biases; i++) {
        struct relative_bias bias =
            put_bias(b, 520, biases[i].span, biases[i].near, biases[i].step, biases[i].keys, biases[i].queries, C);
        size_t own = r.T * 3 * C, all = own + bias.S * bias.stride; /* side by side: one scale of what may be off */
        device_memory dqkv = space(b, ACT, all), places = device_at(dqkv, own * type_bytes(b, ACT));
        device_memory dqueries = biases[i].queries ? places : DEVICE_NOTHING;
        device_memory dkeys = !biases[i].keys     ? DEVICE_NOTHING
                              : biases[i].queries ? device_at(places, C * type_bytes(b, ACT))
                                                  : places;
        run->relative_attention_forward(b->d, y, log_sum, qkv, r.offsets, &bias, &p, r.B, r.T, s->H, s->D);
        record(b, "y", ACT, y, r.T * C);
        record(b, "log_sum", F32, log_sum, s->H * r.T);
        run->relative_attention_backward(b->d, dqkv, dkeys, dqueries, dy, y, qkv, log_sum, r.offsets, &bias, &p, r.B, r.T, s->H,
                                         s->D);
        record(b, "dqkv, dplaces", ACT, dqkv, all);
        run->first_relative_attention_forward(b->d, y, log_sum, dy, kv, r.offsets, &bias, &p, r.B, r.T, s->H, s->D);
        record(b, "y of first", ACT, y, r.B * C);
        record(b, "log_sum of first", F32, log_sum, s->H * r.B);
        run->first_relative_attention_backward(b->d, dqkv, device_at(dqkv, r.B * C * type_bytes(b, ACT)), dkeys, dqueries, dy, y,
                                               dy, kv, log_sum, r.offsets, &bias, &p, r.B, r.T, s->H, s->D);
        record(b, "dq, dkv, dplaces of first", ACT, dqkv, all);
    }
}

static void rotate(struct bench *b, const struct shape *s)
{
    const struct device_operations *run = b->d->run;
    size_t C = s->H * s->D, stride = 3 * C + 5;
    struct rows r = put_rows(b, s->lengths, s->B, 1000);
    device_memory x = put_random(b, ACT, r.T * stride, 1);
    run->rotate(b->d, x, r.positions, 10000, 0, r.T, 2 * s->H, s->D, stride);
    record(b, "rotated", ACT, x, r.T * stride);
    run->rotate(b->d, x, r.positions, 160000, 1, r.T, s->H, s->D, stride);
    record(b, "rotated back by other angles", ACT, x, r.T * stride);
}

static void gated(struct bench *b, const struct shape *s)
{
    static const enum activation all[] = {ACTIVATION_NONE, ACTIVATION_GELU, ACTIVATION_GELU_NEW, ACTIVATION_RELU};
    const struct device_operations *run = b->d->run;
    size_t N = 37 + s->lengths[0], F = s->F, n = N * F;
    for (int i = 0; i < 4; i++) {
        device_memory pre = put_random(b, ACT, 2 * n, 2), dy = put_random(b, ACT, n, 1), y = space(b, ACT, n),
                      again = space(b, ACT, n), dpre = space(b, ACT, 2 * n);
        run->gated_forward(b->d, y, pre, all[i], N, F);
        record(b, "y", ACT, y, n);
        run->gated_backward(b->d, dpre, again, dy, pre, all[i], N, F);
        record(b, "dpre", ACT, dpre, 2 * n);
        record(b, "y again", ACT, again, n);
        run->gated_backward(b->d, DEVICE_NOTHING, y, DEVICE_NOTHING, pre, all[i], N, F);
        record(b, "y alone", ACT, y, n);
        run->gated_backward(b->d, pre, DEVICE_NOTHING, dy, pre, all[i], N, F);
        record(b, "dpre in place of pre", ACT, pre, 2 * n);
    }
}

/* Without biases; and the norm of a residual that goes on. */
static void unbiased(struct bench *b, const struct shape *s)
{
    const struct device_operations *run = b->d->run;
    size_t C = s->C, O = s->F;
    struct rows r = put_rows(b, s->lengths, s->B, 1000);
    struct dropout p = dropout_of(&r, s->dropout, 6);
    size_t n = r.T * C;
    device_memory x = put_random(b, ACT, n, 1), z = put_random(b, ACT, n, 1), gamma = put_random(b, F32, C, 1);
    device_memory y = space(b, ACT, n), sum = space(b, ACT, n), statistics = space(b, F32, 2 * r.T);
    run->normalize_forward(b->d, y, sum, statistics, x, z, gamma, DEVICE_NOTHING, 1e-5f, &p, r.T, C);
    record(b, "y", ACT, y, n);
    device_memory dy = put_random(b, ACT, n, 1), dx = put_random(b, ACT, n, 1), dz = space(b, ACT, n), dgamma = space(b, F32, C),
                  dbeta = space(b, F32, C);
    run->residual_normalize_backward(b->d, dx, dz, dgamma, dbeta, dy, sum, statistics, gamma, &p, r.T, C);
    record(b, "dx +=", ACT, dx, n);
    record(b, "dz", ACT, dz, n);
    record(b, "dgamma", F32, dgamma, C);
    record(b, "dbeta", F32, dbeta, C);
    run->residual_normalize_backward(b->d, dx, dz, dgamma, DEVICE_NOTHING, dy, sum, statistics, gamma, &p, r.T, C);
    record(b, "dx += again", ACT, dx, n);
    run->normalize_backward(b->d, dx, dz, dgamma, DEVICE_NOTHING, dy, sum, statistics, gamma, &p, r.T, C);
    record(b, "dx", ACT, dx, n);
    run->residual_normalize_backward(b->d, dx, dy, dgamma, DEVICE_NOTHING, dy, sum, statistics, gamma, &p, r.T, C);
    record(b, "dz in place of dy", ACT, dy, n);
    run->normalize_backward(b->d, dx, DEVICE_NOTHING, dgamma, dbeta, dy, sum, statistics, gamma, NULL, r.T, C);
    record(b, "dx without dz", ACT, dx, n);
    run->normalize_forward(b->d, y, x, statistics, x, z, gamma, DEVICE_NOTHING, 1e-5f, &p, r.T, C);
    record(b, "sum in place of x", ACT, x, n);
    run->normalize_forward(b->d, y, sum, statistics, z, DEVICE_NOTHING, gamma, gamma, 1e-5f, NULL, r.T, C);
    record(b, "y without z", ACT, y, n);
    device_memory w = put_random(b, ACT, O * C, 0.3f), h = space(b, ACT, r.T * O), dw = space(b, F32, O * C);
    run->linear_forward(b->d, h, DEVICE_NOTHING, x, w, DEVICE_NOTHING, ACTIVATION_GELU, r.T, C, O);
    record(b, "linear", ACT, h, r.T * O);
    run->linear_backward(b->d, dx, dw, DEVICE_NOTHING, h, x, w, 0, r.T, C, O);
    record(b, "dw", F32, dw, O * C);
}

static void tokens(struct bench *b, const struct shape *s)
{
    const struct device_operations *run = b->d->run;
    size_t C = s->C, B = s->B;
    struct rows r = put_rows(b, s->lengths, B, 1000);
    device_memory x = put_random(b, ACT, r.T * C, 1), y = space(b, ACT, B * C), dx = space(b, ACT, r.T * C);
    run->mean_tokens(b->d, y, x, r.offsets, B, C);
    record(b, "mean", ACT, y, B * C);
    run->mean_tokens_backward(b->d, dx, y, r.offsets, B, C);
    record(b, "mean back", ACT, dx, r.T * C);
    run->replace_first_tokens(b->d, x, y, r.offsets, B, C);
    record(b, "first tokens replaced", ACT, x, r.T * C);
    run->replace_first_tokens(b->d, x, DEVICE_NOTHING, r.offsets, B, C);
    record(b, "first tokens zeroed", ACT, x, r.T * C);
}

static void normalize(struct bench *b, const struct shape *s)
{
    const struct device_operations *run = b->d->run;
    size_t C = s->C;
    struct rows r = put_rows(b, s->lengths, s->B, 1000);
    struct dropout p = dropout_of(&r, s->dropout, 6);
    size_t n = r.T * C;
    device_memory x = put_random(b, ACT, n, 1), z = put_random(b, ACT, n, 1), gamma = put_random(b, F32, C, 1),
                  beta = put_random(b, F32, C, 1);
    device_memory y = space(b, ACT, n), sum = space(b, ACT, n), statistics = space(b, F32, 2 * r.T);
    run->normalize_forward(b->d, y, sum, statistics, x, z, gamma, beta, 1e-12f, &p, r.T, C);
    record(b, "y", ACT, y, n);
    record(b, "sum", ACT, sum, n);
    record(b, "statistics", F32, statistics, 2 * r.T);
    device_memory dy = put_random(b, ACT, n, 1), dx = space(b, ACT, n), dz = space(b, ACT, n), dgamma = space(b, F32, C),
                  dbeta = space(b, F32, C);
    run->normalize_backward(b->d, dx, dz, dgamma, dbeta, dy, sum, statistics, gamma, &p, r.T, C);
    record(b, "dx", ACT, dx, n);
    record(b, "dz", ACT, dz, n);
    record(b, "dgamma", F32, dgamma, C);
    record(b, "dbeta", F32, dbeta, C);
    run->normalize_backward(b->d, dy, dz, dgamma, dbeta, dy, sum, statistics, gamma, &p, r.T, C);
    record(b, "dx in place of dy", ACT, dy, n);
    run->normalize_forward(b->d, y, z, statistics, x, z, gamma, beta, 1e-12f, &p, r.T, C);
    record(b, "sum in place of z", ACT, z, n);
}

static void embedding(struct bench *b, const struct shape *s)
{
    const struct device_operations *run = b->d->run;
    size_t C = s->C, V = 41, P = 600, U = 13, types = 2;
    struct rows r = put_rows(b, s->lengths, s->B, 1000);
    struct dropout p = dropout_of(&r, s->dropout, 7);
    device_memory ids = put_choices(b, r.T, V), slots = put_choices(b, r.T, U), type_ids = put_choices(b, r.T, types);
    device_memory word = put_random(b, F32, V * C, 1), position = put_random(b, F32, P * C, 1),
                  type = put_random(b, F32, types * C, 1);
    device_memory gamma = put_random(b, F32, C, 1), beta = put_random(b, F32, C, 1);
    device_memory y = space(b, ACT, r.T * C), sum = space(b, ACT, r.T * C), statistics = space(b, F32, 2 * r.T);
    run->embedding_forward(b->d, y, sum, statistics, ids, r.positions, type_ids, word, position, type, gamma, beta, 1e-12f, &p,
                           r.T, C);
    record(b, "y", ACT, y, r.T * C);
    record(b, "sum", ACT, sum, r.T * C);
    record(b, "statistics", F32, statistics, 2 * r.T);
    device_memory dy = put_random(b, ACT, r.T * C, 1), dword = space(b, F32, U * C), dposition = space(b, F32, P * C),
                  dtype = space(b, F32, types * C), dgamma = space(b, F32, C), dbeta = space(b, F32, C);
    run->embedding_backward(b->d, dword, dposition, dtype, dgamma, dbeta, dy, sum, statistics, slots, r.positions, type_ids,
                            gamma, &p, r.T, C, U, P, types);
    record(b, "dword", F32, dword, U * C);
    record(b, "dposition", F32, dposition, P * C);
    record(b, "dtype", F32, dtype, types * C);
    record(b, "dgamma", F32, dgamma, C);
    record(b, "dbeta", F32, dbeta, C);
    run->embedding_forward(b->d, y, sum, statistics, ids, r.positions, type_ids, word, DEVICE_NOTHING, DEVICE_NOTHING, gamma,
                           DEVICE_NOTHING, 1e-12f, &p, r.T, C);
    record(b, "y of words alone", ACT, y, r.T * C);
    dy = put_random(b, ACT, r.T * C, 1);
    run->embedding_backward(b->d, dword, DEVICE_NOTHING, DEVICE_NOTHING, dgamma, DEVICE_NOTHING, dy, sum, statistics, slots,
                            r.positions, type_ids, gamma, &p, r.T, C, U, P, types);
    record(b, "dword of words alone", F32, dword, U * C);
}

/* Vectors of several times 256 elements, and of more than 1024, which a GPU's norms take in other ways. Of one shape: they are
 * their own. */
static void wide(struct bench *b, const struct shape *s)
{
    static const size_t widths[] = {530, 900, 1100}, length = 37;
    const struct device_operations *run = b->d->run;
    for (size_t i = 0; i < 3 && s == shapes; i++) {
        size_t C = widths[i], n = length * C, U = 12;
        struct rows r = put_rows(b, &length, 1, 1000);
        struct dropout p = dropout_of(&r, 0.1f, 6);
        device_memory x = put_random(b, ACT, n, 1), z = put_random(b, ACT, n, 1), gamma = put_random(b, F32, C, 1);
        device_memory y = space(b, ACT, n), sum = space(b, ACT, n), statistics = space(b, F32, 2 * length);
        run->normalize_forward(b->d, y, sum, statistics, x, z, gamma, gamma, 1e-12f, &p, length, C);
        device_memory dz = space(b, ACT, n), dgamma = space(b, F32, C), dbeta = space(b, F32, C);
        run->normalize_backward(b->d, x, dz, dgamma, dbeta, y, sum, statistics, gamma, &p, length, C);
        record(b, "wide dx", ACT, x, n);
        record(b, "wide dz", ACT, dz, n);
        record(b, "wide dgamma", F32, dgamma, C);
        record(b, "wide dbeta", F32, dbeta, C);
        device_memory dword = space(b, F32, U * C), slots = put_choices(b, length, U);
        run->embedding_backward(b->d, dword, DEVICE_NOTHING, DEVICE_NOTHING, dgamma, dbeta, y, sum, statistics, slots,
                                r.positions, DEVICE_NOTHING, gamma, &p, length, C, U, 0, 0);
        record(b, "wide dword", F32, dword, U * C);
    }
}

static void head(struct bench *b, const struct shape *s)
{
    const struct device_operations *run = b->d->run;
    size_t C = s->C, L = s->L, B = s->B;
    struct rows r = put_rows(b, s->lengths, B, 1000);
    struct dropout p = dropout_of(&r, s->dropout, 8);
    device_memory x = put_random(b, ACT, r.T * C, 1), first = space(b, ACT, B * C), back = space(b, ACT, r.T * C);
    device_memory dropped = space(b, ACT, r.T * C);
    run->first_tokens(b->d, first, x, r.offsets, B, C);
    run->first_tokens_backward(b->d, back, first, r.offsets, B, r.T, C);
    run->dropout_apply(b->d, dropped, x, &p, 0, r.T, C);
    record(b, "first tokens", ACT, first, B * C);
    record(b, "first tokens back", ACT, back, r.T * C);
    record(b, "dropout", ACT, dropped, r.T * C);
    run->dropout_apply(b->d, back, x, &p, 1, r.T, C);
    record(b, "dropout, added", ACT, back, r.T * C);
    device_memory w = put_random(b, F32, L * C, 1), bias = put_random(b, F32, L, 1), logits = space(b, F32, B * L);
    device_memory classes = put_choices(b, B, L), weights = put_values(b, F32, (const float[]){1, 2, 3, 4, 5, 6, 7}, L);
    device_memory loss = space(b, F32, B), dlogits = space(b, F32, B * L), targets = put_random(b, F32, B * L, 1);
    device_memory dx = space(b, ACT, B * C), dw = space(b, F32, L * C), dbias = space(b, F32, L);
    run->classifier_forward(b->d, logits, first, w, bias, B, C, L);
    record(b, "logits", F32, logits, B * L);
    run->cross_entropy(b->d, loss, dlogits, logits, classes, weights, NULL, B, L);
    record(b, "cross entropy", F32, loss, B);
    record(b, "its dlogits", F32, dlogits, B * L);
    run->classifier_backward(b->d, dx, dw, dbias, dlogits, first, w, B, C, L);
    record(b, "dx", ACT, dx, B * C);
    record(b, "dw", F32, dw, L * C);
    record(b, "dbias", F32, dbias, L);
    run->binary_cross_entropy(b->d, loss, dlogits, logits, targets, weights, NULL, B, L);
    record(b, "binary cross entropy", F32, loss, B);
    record(b, "its dlogits", F32, dlogits, B * L);
    run->binary_cross_entropy(b->d, loss, DEVICE_NOTHING, logits, targets, DEVICE_NOTHING, NULL, B, L);
    record(b, "without weights", F32, loss, B);
    device_memory wide = put_random(b, ACT, B * 3 * C, 1), narrow = space(b, ACT, B * C);
    run->scale_columns(b->d, narrow, C, device_at(wide, C * precision_bytes(b->d->precision)), 3 * C, 0.7f, 0, B, C);
    record(b, "columns taken", ACT, narrow, B * C);
    run->scale_columns(b->d, wide, 3 * C, narrow, C, -1.3f, 1, B, C);
    record(b, "columns added to", ACT, wide, B * 3 * C);
}

static void optimizer(struct bench *b, const struct shape *s)
{
    const struct device_operations *run = b->d->run;
    size_t n = OPTIMIZED + s->F, V = 37, U = 5, C = s->C;
    struct adamw a = {1e-2f, 0.9f, 0.999f, 1e-8f, 0.01f, 0.1f, 0.001f};
    device_memory p = put_random(b, F32, n, 1), g = put_random(b, F32, n, 1), m = put_random(b, F32, n, 0.1f),
                  x = put_random(b, F32, n, 1);
    device_memory v = space(b, F32, n), shadow = space(b, ACT, n), seen = room(b, V);
    device_memory control = put_control(b, 0.37f);
    run->zero(b->d, v, n * 4);
    run->adamw(b->d, p, shadow, g, m, v, &a, control, n);
    run->adamw(b->d, p, DEVICE_NOTHING, g, m, v, &a, control, n);
    record(b, "shadow", ACT, shadow, n);
    record(b, "p", F32, p, n);
    record(b, "m", F32, m, n);
    record(b, "v", F32, v, n);
    run->add(b->d, x, p, n);
    record(b, "add", F32, x, n);
    run->round_to_activation(b->d, shadow, x, n);
    record(b, "rounded", ACT, shadow, n);
    run->widen_activation(b->d, x, shadow, n);
    record(b, "widened", F32, x, n);
    int32_t slots[37];
    for (int row = 0; row < 37; row++)
        slots[row] = row % 9 == 3 ? row / 9 : -1;
    device_memory table = put_random(b, F32, V * C, 1), words = put_random(b, F32, U * C, 1), first = space(b, F32, V * C),
                  second = space(b, F32, V * C);
    run->zero(b->d, first, V * C * 4);
    run->zero(b->d, second, V * C * 4);
    run->zero(b->d, seen, V);
    for (int step = 0; step < 3; step++) {
        slots[20 + step] = 4;
        run->adamw_rows(b->d, table, words, first, second, seen, put_integers(b, slots, V), &a, control, V, C);
        slots[20 + step] = -1;
    }
    record(b, "rows p", F32, table, V * C);
    record(b, "rows m", F32, first, V * C);
    record(b, "rows v", F32, second, V * C);
}

/* Norm, losses, clip: as floats, which is finer than what may be off. */
static void record_control(struct bench *b, const char *what, device_memory control)
{
    struct step_control c;
    b->d->run->download(b->d, &c, control, sizeof c);
    record(b, what, F32, put_values(b, F32, (const float[]){(float)c.norm, c.scale, (float)c.bad}, 3), 3);
}

static void control(struct bench *b, const struct shape *s)
{
    const struct device_operations *run = b->d->run;
    size_t n = OPTIMIZED + s->F, rows = 13 + s->C, each = 5, sums = (rows + each - 1) / each;
    device_memory x = put_random(b, F32, n, 1), losses = put_random(b, F32, rows, 1), sum = room(b, 8);
    device_memory loss_sums = room(b, sums * 8), bad = space(b, F32, 1), of_step = put_control(b, 0);
    run->sum_of_squares(b->d, sum, x, n);
    run->loss_sums(b->d, loss_sums, bad, losses, rows, each);
    record(b, "bad", F32, bad, 1);
    float rounded[32];
    assert_true(sums <= 32);
    for (size_t i = 0; i < sums; i++)
        rounded[i] = (float)take_double(b, device_at(loss_sums, i * 8));
    record(b, "sums of losses", F32, put_values(b, F32, rounded, sums), sums);
    run->clip(b->d, of_step, sum, bad, 3.5, 0);
    record_control(b, "no clip", of_step);
    run->clip(b->d, of_step, sum, bad, 3.5, 1e9);
    record_control(b, "loose clip", of_step);
    run->clip(b->d, of_step, sum, bad, 3.5, 0.7);
    record_control(b, "binding clip", of_step);
}

static const struct {
    const char *name;
    void (*run)(struct bench *b, const struct shape *s);
} cases[] = {
    {"attention", attention},
    {"first_attention", first_attention},
    {"projected_attention", projected_attention},
    {"window_attention", window_attention},
    {"relative_attention", relative_attention},
    {"linear", linear_none},
    {"linear gelu", linear_gelu},
    {"linear, other activations", linear_others},
    {"activation backward", activation_backward},
    {"rotate", rotate},
    {"gated", gated},
    {"without bias", unbiased},
    {"tokens", tokens},
    {"normalize", normalize},
    {"embedding", embedding},
    {"wide", wide},
    {"head", head},
    {"optimizer", optimizer},
    {"control", control},
};

static const struct candidate {
    const char *device, *isa;
    enum precision precision;
    int threads;
} candidates[] = {
#ifdef TEST_GPU
    {TEST_GPU, "", PRECISION_F32, 1},
    {TEST_GPU, "", PRECISION_BF16, 1},
    {TEST_GPU, "", PRECISION_TF32, 1},
#else
    {"cpu", "baseline", PRECISION_F32, 2},
    {"cpu", "avx2", PRECISION_F32, 2},
    {"cpu", "avx512", PRECISION_F32, 2},
    {"cpu", "baseline", PRECISION_BF16, 2},
    {"cpu", "avx2", PRECISION_BF16, 2},
    {"cpu", "avx512", PRECISION_BF16, 2},
    {"cpu", "avx512_bf16", PRECISION_BF16, 2},
    {"cpu", "amx", PRECISION_BF16, 2},
    {"cpu", "amx_in_c", PRECISION_BF16, 2},
    {"cpu", "", PRECISION_F32, 1},
    {"cpu", "", PRECISION_BF16, 3},
    {"cpu", "", PRECISION_F32, 8},
    {"cpu", "", PRECISION_BF16, 16},
    {"guarded", "", PRECISION_F32, 2},
    {"guarded", "", PRECISION_BF16, 2},
#endif
};

/* The same again: with the threads that made it; emulated: threads in another order (tests/emu/cuda_emulated.h). */
#ifdef MUSTER_EMULATED
#define AGAIN TEST_GPU
#define AGAIN_THREADS(again) (1 + (again))
#define AGAIN_SHAPES 1
#elif defined TEST_GPU
#define AGAIN TEST_GPU
#define AGAIN_THREADS(again) 1
#define AGAIN_SHAPES shapes_tried()
#else
#define AGAIN "cpu"
#define AGAIN_THREADS(again) 3
#define AGAIN_SHAPES (sizeof shapes / sizeof *shapes)
#endif

static bool available(const struct candidate *c)
{
    struct device *d;
    struct error e = {0};
    setenv("MUSTER_ISA", c->isa, 1);
    if (device_create(&d, c->device, c->precision, c->threads, &e) != 0) {
        assert_int_equal(e.kind, ERROR_USAGE);
        print_message("not on this machine: %s\n", e.message);
        return false;
    }
    d->run->destroy(d);
    return true;
}

/* f32: rounding of sums of a few hundred terms. bf16: act arrays are stored with 8 bits, and others are made from such. tf32:
 * factors of products have 11 bits. */
static const double tolerances[][2] = {
    [PRECISION_F32] = {1e-5, 1e-5}, [PRECISION_BF16] = {8e-3, 1.2e-2}, [PRECISION_TF32] = {4e-3, 4e-3}};

/* Those of a precision that this machine has; returns how many. */
static size_t open_candidates(struct bench *found, enum precision precision)
{
    size_t count = 0;
    for (size_t i = 0; i < sizeof candidates / sizeof *candidates; i++) {
        const struct candidate *c = &candidates[i];
        if (c->precision != precision || !available(c))
            continue;
        char device[128];
        bench_open(&found[count], c->device, precision, c->threads);
        device_describe(found[count++].d, device, sizeof device);
        print_message("%s\n", device);
    }
    return count;
}

static void compare_case(struct bench *expected, struct bench *found, size_t k, size_t s)
{
    char device[128], what[128];
    struct error e = {0};
    device_describe(found->d, device, sizeof device);
    snprintf(what, sizeof what, "%s, shape %zu", cases[k].name, s);
    cases[k].run(found, &shapes[s]);
    compare(device, what, expected, found, tolerances[found->d->precision]);
    assert_int_equal(found->d->run->finish(found->d, &e), 0);
    if (cases[k].run != optimizer && found->d->run->kind != DEVICE_CUDA) /* whose attention counts nothing */
        assert_true(expected->d->flops == found->d->flops);
    bench_clear(found);
}

static void test_against_reference(void **state)
{
    (void)state;
    struct bench expected, found[sizeof candidates / sizeof *candidates];
    for (int precision = PRECISION_F32; precision < PRECISIONS; precision++) {
        size_t count = open_candidates(found, (enum precision)precision);
        if (!count)
            continue;
        bench_open(&expected, "cpu_reference", precision == PRECISION_TF32 ? PRECISION_F32 : (enum precision)precision, 1);
        for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
            for (size_t s = 0; s < shapes_tried(); s++) {
                cases[k].run(&expected, &shapes[s]);
                for (size_t i = 0; i < count; i++)
                    compare_case(&expected, &found[i], k, s);
                bench_clear(&expected);
            }
        bench_close(&expected);
        for (size_t i = 0; i < count; i++)
            bench_close(&found[i]);
    }
}

static void test_same_bits_again(void **state)
{
    (void)state;
    setenv("MUSTER_ISA", "", 1);
    for (int precision = PRECISION_F32; precision <= PRECISION_BF16; precision++)
        for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
            for (size_t s = 0; s < AGAIN_SHAPES; s++) {
                struct bench a, b;
                struct error e = {0};
                bench_open(&a, AGAIN, (enum precision)precision, AGAIN_THREADS(0));
                cases[k].run(&a, &shapes[s]);
                for (int again = 0; again < 3; again++) {
                    bench_open(&b, AGAIN, (enum precision)precision, AGAIN_THREADS(again));
                    cases[k].run(&b, &shapes[s]);
                    if (b.d->run->finish(b.d, &e))
                        fail_msg("%s", e.message);
                    assert_same_bits(cases[k].name, &a, &b);
                    bench_close(&b);
                }
                bench_close(&a);
            }
}

#ifndef TEST_GPU
/* Attention of all kinds, whose sums over rows are of parts that do not follow from the number of threads. */
static void test_same_bits_on_any_threads(void **state)
{
    (void)state;
    static void (*const runs[])(struct bench * b, const struct shape *s) = {attention, first_attention, projected_attention,
                                                                            window_attention, relative_attention};
    setenv("MUSTER_ISA", "", 1);
    for (int precision = PRECISION_F32; precision <= PRECISION_BF16; precision++)
        for (size_t k = 0; k < sizeof runs / sizeof *runs; k++)
            for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
                struct bench one, more;
                bench_open(&one, "cpu", (enum precision)precision, 1);
                runs[k](&one, &shapes[s]);
                bench_open(&more, "cpu", (enum precision)precision, 3);
                runs[k](&more, &shapes[s]);
                assert_same_bits("on 1 and 3 threads", &one, &more);
                bench_close(&more);
                bench_close(&one);
            }
}
#endif

#ifdef TEST_GPU
/* tf32 rounds products' factors, which shows; and nothing else. */
static void test_tf32_rounds_products(void **state)
{
    (void)state;
    static void (*const runs[])(struct bench * b, const struct shape *s) = {linear_none, normalize, attention};
    for (size_t k = 0; k < sizeof runs / sizeof *runs; k++) {
        struct bench exact, rounded;
        size_t at;
        bench_open(&exact, TEST_GPU, PRECISION_F32, 1);
        runs[k](&exact, &shapes[1]);
        bench_open(&rounded, TEST_GPU, PRECISION_TF32, 1);
        runs[k](&rounded, &shapes[1]);
        double off = difference(&exact.arrays[0], &rounded.arrays[0], &at);
        if (runs[k] == linear_none ? !(off > 2e-5 && off < 2e-3) : off != 0)
            fail_msg("run %zu: y is off by %g of the largest", k, off);
        bench_close(&rounded);
        bench_close(&exact);
    }
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
#ifdef TEST_GPU
        cmocka_unit_test(test_tf32_rounds_products),
#endif
        cmocka_unit_test(test_against_reference),
        cmocka_unit_test(test_same_bits_again),
#ifndef TEST_GPU
        cmocka_unit_test(test_same_bits_on_any_threads),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
