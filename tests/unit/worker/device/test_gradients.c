/* SPDX-License-Identifier: Apache-2.0 */
/* The reference's backward operations against central differences of its forward ones; sums in double. */
#include "harness.h"

/* A forward operation as a function of its inputs to one number: the sum of its outputs times fixed numbers. */
struct problem {
    struct bench b;
    device_memory memory[12];
    struct rows rows;
    struct dropout dropout;
    size_t n, C, F, H, L;
    enum activation activation;
    struct attention_window window;
    struct relative_bias bias;
    double (*loss)(struct problem *p);
};

static const size_t lengths[] = {4, 7, 1};

static void problem_open(struct problem *p)
{
    bench_open(&p->b, "cpu_reference", PRECISION_F32, 1);
    p->rows = put_rows(&p->b, lengths, 3, 1000);
    p->n = p->rows.T;
    p->C = 20;
    p->F = 11;
    p->H = 5;
    p->L = 3;
}

static double against_fixed(struct problem *p, device_memory output,
                            size_t n) /* the gradient of the output is fixed_gradient's */
{
    float *y = take_values(&p->b, output, F32, n);
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)y[i] * sin(1 + 0.7 * (double)i);
    free(y);
    return sum;
}

static device_memory fixed_gradient(struct problem *p, size_t n)
{
    float *values = malloc(n * sizeof *values);
    for (size_t i = 0; i < n; i++)
        values[i] = (float)sin(1 + 0.7 * (double)i);
    device_memory ret = put_values(&p->b, F32, values, n);
    free(values);
    return ret;
}

static float *element(device_memory m, size_t i)
{
    return (float *)m.address + i; /* the reference's memory is the host's */
}

/* Gradients at up to 80 elements of `input`, which has `n`. */
static void check(struct problem *p, const char *what, device_memory input, device_memory gradient, size_t n)
{
    float *found = take_values(&p->b, gradient, F32, n);
    double scale = 1e-6;
    for (size_t i = 0; i < n; i++)
        scale = fmax(scale, fabs(found[i]));
    for (size_t i = 0; i < n; i += n / 80 + 1) {
        float *x = element(input, i), was = *x, step = 4e-3f;
        *x = was + step;
        float up = *x;
        double high = p->loss(p);
        *x = was - step;
        double expected = (high - p->loss(p)) / ((double)up - *x);
        *x = was;
        if (!(fabs(expected - found[i]) <= 2e-3 * scale))
            fail_msg("%s[%zu]: expected %g by differences, found %g (largest %g)", what, i, expected, found[i], scale);
    }
    free(found);
}

static double linear_loss(struct problem *p)
{
    device_memory *m = p->memory;
    p->b.d->run->linear_forward(p->b.d, m[3], m[4], m[0], m[1], m[2], p->activation, p->n, p->C, p->F);
    return against_fixed(p, m[3], p->n * p->F);
}

static void test_linear(void **state)
{
    (void)state;
    for (enum activation a = ACTIVATION_NONE; a <= ACTIVATION_TANH; a++) {
        struct problem p = {.loss = linear_loss, .activation = a};
        problem_open(&p);
        struct bench *b = &p.b;
        device_memory *m = p.memory, dy = fixed_gradient(&p, p.n * p.F), dx = space(b, F32, p.n * p.C),
                      dw = space(b, F32, p.F * p.C), dbias = space(b, F32, p.F);
        m[0] = put_random(b, F32, p.n * p.C, 1);
        m[1] = put_random(b, F32, p.F * p.C, 0.3f);
        m[2] = put_random(b, F32, p.F, 0.3f);
        m[3] = space(b, F32, p.n * p.F);
        m[4] = a == ACTIVATION_NONE ? m[3] : space(b, F32, p.n * p.F);
        linear_loss(&p);
        b->d->run->activation_backward(b->d, dy, DEVICE_NOTHING, dy, a == ACTIVATION_TANH ? m[3] : m[4], a, p.n * p.F);
        b->d->run->linear_backward(b->d, dx, dw, dbias, dy, m[0], m[1], 0, p.n, p.C, p.F);
        if (a != ACTIVATION_RELU) { /* whose kink differences straddle */
            check(&p, "dx", m[0], dx, p.n * p.C);
            check(&p, "dw", m[1], dw, p.F * p.C);
        }
        check(&p, "dbias", m[2], dbias, a == ACTIVATION_RELU ? 0 : p.F);
        bench_close(b);
    }
}

static double attention_loss(struct problem *p)
{
    device_memory *m = p->memory;
    p->b.d->run->attention_forward(p->b.d, m[1], m[2], m[0], p->rows.offsets, &p->dropout, p->rows.B, p->n, p->H, p->C / p->H);
    return against_fixed(p, m[1], p->n * p->C);
}

static void test_attention(void **state)
{
    (void)state;
    for (int dropout = 0; dropout < 2; dropout++) {
        struct problem p = {.loss = attention_loss};
        problem_open(&p);
        p.dropout = dropout_of(&p.rows, dropout ? 0.3f : 0, 2);
        struct bench *b = &p.b;
        device_memory *m = p.memory, dy = fixed_gradient(&p, p.n * p.C), dqkv = space(b, F32, p.n * 3 * p.C);
        m[0] = put_random(b, F32, p.n * 3 * p.C, 1);
        m[1] = space(b, F32, p.n * p.C);
        m[2] = space(b, F32, p.H * p.n);
        attention_loss(&p);
        b->d->run->attention_backward(b->d, dqkv, dy, m[1], m[0], m[2], p.rows.offsets, &p.dropout, p.rows.B, p.n, p.H,
                                      p.C / p.H);
        check(&p, "dqkv", m[0], dqkv, p.n * 3 * p.C);
        bench_close(b);
    }
}

static double window_attention_loss(struct problem *p)
{
    device_memory *m = p->memory;
    p->b.d->run->window_attention_forward(p->b.d, m[1], m[2], m[0], p->rows.offsets, &p->window, &p->dropout, p->rows.B, p->n,
                                          p->H, p->C / p->H);
    return against_fixed(p, m[1], p->n * p->C);
}

static void test_window_attention(void **state)
{
    (void)state;
    for (int first = 0; first < 2; first++) {
        struct problem p = {.loss = window_attention_loss, .window = {2, first}};
        problem_open(&p);
        p.dropout = dropout_of(&p.rows, first ? 0.3f : 0, 2);
        struct bench *b = &p.b;
        device_memory *m = p.memory, dy = fixed_gradient(&p, p.n * p.C), dqkv = space(b, F32, p.n * 3 * p.C);
        m[0] = put_random(b, F32, p.n * 3 * p.C, 1);
        m[1] = space(b, F32, p.n * p.C);
        m[2] = space(b, F32, p.H * p.n);
        window_attention_loss(&p);
        b->d->run->window_attention_backward(b->d, dqkv, dy, m[1], m[0], m[2], p.rows.offsets, &p.window, &p.dropout, p.rows.B,
                                             p.n, p.H, p.C / p.H);
        check(&p, "dqkv", m[0], dqkv, p.n * 3 * p.C);
        bench_close(b);
    }
}

static double relative_attention_loss(struct problem *p)
{
    device_memory *m = p->memory;
    p->b.d->run->relative_attention_forward(p->b.d, m[1], m[2], m[0], p->rows.offsets, &p->bias, &p->dropout, p->rows.B, p->n,
                                            p->H, p->C / p->H);
    return against_fixed(p, m[1], p->n * p->C);
}

static double first_relative_attention_loss(struct problem *p)
{
    device_memory *m = p->memory;
    p->b.d->run->first_relative_attention_forward(p->b.d, m[1], m[2], m[3], m[0], p->rows.offsets, &p->bias, &p->dropout,
                                                  p->rows.B, p->n, p->H, p->C / p->H);
    return against_fixed(p, m[1], p->rows.B * p->C);
}

static void check_relative(struct problem *p, device_memory dkeys, device_memory dqueries)
{
    device_memory start = p->bias.queries.address ? p->bias.queries : p->bias.keys;
    device_memory gradient = p->bias.queries.address ? dqueries : dkeys;
    check(p, "of distances", start, gradient, p->bias.S * p->bias.stride);
}

/* kinds: 1 keys, 2 queries. */
static void check_relative_attention(int kinds, float dropout)
{
    struct problem p = {.loss = relative_attention_loss};
    problem_open(&p);
    p.dropout = dropout_of(&p.rows, dropout, 2);
    struct bench *b = &p.b;
    size_t B = p.rows.B, D = p.C / p.H;
    p.bias = put_bias(b, 9, 4, 2, 2, kinds & 1, kinds & 2, p.C);
    device_memory *m = p.memory, dy = fixed_gradient(&p, p.n * p.C), dqkv = space(b, F32, p.n * 3 * p.C),
                  all = space(b, F32, p.bias.S * p.bias.stride), dq = space(b, F32, B * p.C);
    device_memory dqueries = kinds & 2 ? all : DEVICE_NOTHING;
    device_memory dkeys = kinds == 3 ? device_at(all, p.C * sizeof(float)) : kinds == 1 ? all : DEVICE_NOTHING;
    m[0] = put_random(b, F32, p.n * 3 * p.C, 1);
    m[1] = space(b, F32, p.n * p.C);
    m[2] = space(b, F32, p.H * p.n);
    m[3] = put_random(b, F32, B * p.C, 1);
    relative_attention_loss(&p);
    b->d->run->relative_attention_backward(b->d, dqkv, dkeys, dqueries, dy, m[1], m[0], m[2], p.rows.offsets, &p.bias, &p.dropout,
                                           B, p.n, p.H, D);
    check(&p, "dqkv", m[0], dqkv, p.n * 3 * p.C);
    check_relative(&p, dkeys, dqueries);
    p.loss = first_relative_attention_loss;
    first_relative_attention_loss(&p);
    b->d->run->first_relative_attention_backward(b->d, dq, dqkv, dkeys, dqueries, dy, m[1], m[3], m[0], m[2], p.rows.offsets,
                                                 &p.bias, &p.dropout, B, p.n, p.H, D);
    check(&p, "dq of first", m[3], dq, B * p.C);
    check(&p, "dkv of first", m[0], dqkv, p.n * 2 * p.C);
    check_relative(&p, dkeys, dqueries);
    bench_close(b);
}

static void test_relative_attention(void **state)
{
    (void)state;
    for (int kinds = 1; kinds <= 3; kinds++)
        check_relative_attention(kinds, kinds == 2 ? 0 : 0.3f);
}

/* In place: of a copy. */
static double rotate_loss(struct problem *p)
{
    device_memory *m = p->memory;
    p->b.d->run->copy(p->b.d, m[1], m[0], p->n * p->C * sizeof(float));
    p->b.d->run->rotate(p->b.d, m[1], p->rows.positions, 100, 0, p->n, 4, p->C / p->H, p->C);
    return against_fixed(p, m[1], p->n * p->C);
}

static void test_rotate(void **state)
{
    (void)state;
    struct problem p = {.loss = rotate_loss};
    problem_open(&p);
    struct bench *b = &p.b;
    device_memory *m = p.memory, dx = fixed_gradient(&p, p.n * p.C);
    m[0] = put_random(b, F32, p.n * p.C, 1);
    m[1] = space(b, F32, p.n * p.C);
    b->d->run->rotate(b->d, dx, p.rows.positions, 100, 1, p.n, 4, p.C / p.H, p.C);
    check(&p, "dx", m[0], dx, p.n * p.C);
    bench_close(b);
}

static double gated_loss(struct problem *p)
{
    device_memory *m = p->memory;
    p->b.d->run->gated_forward(p->b.d, m[1], m[0], p->activation, p->n, p->F);
    return against_fixed(p, m[1], p->n * p->F);
}

static void test_gated(void **state)
{
    (void)state;
    static const enum activation all[] = {ACTIVATION_NONE, ACTIVATION_GELU, ACTIVATION_GELU_NEW};
    for (int i = 0; i < 3; i++) {
        struct problem p = {.loss = gated_loss, .activation = all[i]};
        problem_open(&p);
        struct bench *b = &p.b;
        size_t n = p.n * p.F;
        device_memory *m = p.memory, dpre = space(b, F32, 2 * n);
        m[0] = put_random(b, F32, 2 * n, 1);
        m[1] = space(b, F32, n);
        b->d->run->gated_backward(b->d, dpre, DEVICE_NOTHING, fixed_gradient(&p, n), m[0], all[i], p.n, p.F);
        check(&p, "dpre", m[0], dpre, 2 * n);
        bench_close(b);
    }
}

static double mean_loss(struct problem *p)
{
    device_memory *m = p->memory;
    p->b.d->run->mean_tokens(p->b.d, m[1], m[0], p->rows.offsets, p->rows.B, p->C);
    return against_fixed(p, m[1], p->rows.B * p->C);
}

static void test_mean(void **state)
{
    (void)state;
    struct problem p = {.loss = mean_loss};
    problem_open(&p);
    struct bench *b = &p.b;
    device_memory *m = p.memory, dx = space(b, F32, p.n * p.C);
    m[0] = put_random(b, F32, p.n * p.C, 1);
    m[1] = space(b, F32, p.rows.B * p.C);
    b->d->run->mean_tokens_backward(b->d, dx, fixed_gradient(&p, p.rows.B * p.C), p.rows.offsets, p.rows.B, p.C);
    check(&p, "dx", m[0], dx, p.n * p.C);
    bench_close(b);
}

static double first_attention_loss(struct problem *p)
{
    device_memory *m = p->memory;
    p->b.d->run->first_attention_forward(p->b.d, m[2], m[3], m[0], m[1], p->rows.offsets, &p->dropout, p->rows.B, p->n, p->H,
                                         p->C / p->H);
    return against_fixed(p, m[2], p->rows.B * p->C);
}

static void test_first_attention(void **state)
{
    (void)state;
    for (int dropout = 0; dropout < 2; dropout++) {
        struct problem p = {.loss = first_attention_loss};
        problem_open(&p);
        p.dropout = dropout_of(&p.rows, dropout ? 0.3f : 0, 2);
        struct bench *b = &p.b;
        size_t queries = p.rows.B * p.C, pairs = p.n * 2 * p.C;
        device_memory *m = p.memory, dy = fixed_gradient(&p, queries), dq = space(b, F32, queries), dkv = space(b, F32, pairs);
        m[0] = put_random(b, F32, queries, 1);
        m[1] = put_random(b, F32, pairs, 1);
        m[2] = space(b, F32, queries);
        m[3] = space(b, F32, p.H * p.rows.B);
        first_attention_loss(&p);
        b->d->run->first_attention_backward(b->d, dq, dkv, dy, m[2], m[0], m[1], m[3], p.rows.offsets, &p.dropout, p.rows.B, p.n,
                                            p.H, p.C / p.H);
        check(&p, "dq", m[0], dq, queries);
        check(&p, "dkv", m[1], dkv, pairs);
        bench_close(b);
    }
}

static double projected_attention_loss(struct problem *p)
{
    device_memory *m = p->memory;
    p->b.d->run->projected_attention_forward(p->b.d, m[4], m[5], m[0], m[1], m[2], m[3], p->rows.offsets, &p->dropout, p->rows.B,
                                             p->n, p->H, p->C / p->H);
    return against_fixed(p, m[4], p->rows.B * p->C);
}

/* Also what the operation is: first_attention of x w^T + bias. */
static void test_projected_attention(void **state)
{
    (void)state;
    for (int dropout = 0; dropout < 2; dropout++) {
        struct problem p = {.loss = projected_attention_loss};
        problem_open(&p);
        p.dropout = dropout_of(&p.rows, dropout ? 0.3f : 0, 2);
        struct bench *b = &p.b;
        size_t C = p.C, queries = p.rows.B * C;
        device_memory *m = p.memory, dy = fixed_gradient(&p, queries), dq = space(b, F32, queries), dx = space(b, F32, p.n * C);
        device_memory dw = space(b, F32, 2 * C * C), dbias = space(b, F32, 2 * C), kv = space(b, F32, p.n * 2 * C);
        m[0] = put_random(b, F32, queries, 1);
        m[1] = put_random(b, F32, p.n * C, 1);
        m[2] = put_random(b, F32, 2 * C * C, 0.5f);
        m[3] = put_random(b, F32, 2 * C, 1);
        m[4] = space(b, F32, queries);
        m[5] = space(b, F32, p.H * p.rows.B);
        double loss = projected_attention_loss(&p);
        b->d->run->zero(b->d, dx, p.n * C * sizeof(float));
        b->d->run->projected_attention_backward(b->d, dq, dx, dw, dbias, dy, m[4], m[0], m[1], m[2], m[3], m[5], p.rows.offsets,
                                                &p.dropout, p.rows.B, p.n, p.H, C / p.H);
        check(&p, "dq", m[0], dq, queries);
        check(&p, "dx", m[1], dx, p.n * C);
        check(&p, "dw", m[2], dw, 2 * C * C);
        check(&p, "dbias", m[3], dbias, 2 * C);
        b->d->run->linear_forward(b->d, kv, DEVICE_NOTHING, m[1], m[2], m[3], ACTIVATION_NONE, p.n, C, 2 * C);
        b->d->run->first_attention_forward(b->d, m[4], m[5], m[0], kv, p.rows.offsets, &p.dropout, p.rows.B, p.n, p.H, C / p.H);
        assert_float_equal(against_fixed(&p, m[4], queries), loss, 1e-5);
        bench_close(b);
    }
}

static double normalize_loss(struct problem *p)
{
    device_memory *m = p->memory;
    p->b.d->run->normalize_forward(p->b.d, m[4], m[5], m[6], m[0], m[1], m[2], m[3], 1e-5f, &p->dropout, p->n, p->C);
    return against_fixed(p, m[4], p->n * p->C);
}

static void test_normalize(void **state)
{
    (void)state;
    struct problem p = {.loss = normalize_loss};
    problem_open(&p);
    p.dropout = dropout_of(&p.rows, 0.3f, 2);
    struct bench *b = &p.b;
    size_t n = p.n * p.C;
    device_memory *m = p.memory, dy = fixed_gradient(&p, n), dx = space(b, F32, n), dz = space(b, F32, n),
                  dgamma = space(b, F32, p.C), dbeta = space(b, F32, p.C);
    m[0] = put_random(b, F32, n, 1);
    m[1] = put_random(b, F32, n, 1);
    m[2] = put_random(b, F32, p.C, 1);
    m[3] = put_random(b, F32, p.C, 1);
    m[4] = space(b, F32, n);
    m[5] = space(b, F32, n);
    m[6] = space(b, F32, 2 * p.n);
    normalize_loss(&p);
    b->d->run->normalize_backward(b->d, dx, dz, dgamma, dbeta, dy, m[5], m[6], m[2], &p.dropout, p.n, p.C);
    check(&p, "dx", m[0], dx, n);
    check(&p, "dz", m[1], dz, n);
    check(&p, "dgamma", m[2], dgamma, p.C);
    check(&p, "dbeta", m[3], dbeta, p.C);
    bench_close(b);
}

/* Both ways on: the norm's output, and the sum. */
static double residual_normalize_loss(struct problem *p)
{
    device_memory *m = p->memory;
    p->b.d->run->normalize_forward(p->b.d, m[3], m[4], m[5], m[0], m[1], m[2], DEVICE_NOTHING, 1e-5f, &p->dropout, p->n, p->C);
    return against_fixed(p, m[3], p->n * p->C) + against_fixed(p, m[4], p->n * p->C);
}

static void test_residual_normalize(void **state)
{
    (void)state;
    struct problem p = {.loss = residual_normalize_loss};
    problem_open(&p);
    p.dropout = dropout_of(&p.rows, 0.3f, 2);
    struct bench *b = &p.b;
    size_t n = p.n * p.C;
    device_memory *m = p.memory, dy = fixed_gradient(&p, n), dx = fixed_gradient(&p, n), dz = space(b, F32, n),
                  dgamma = space(b, F32, p.C);
    m[0] = put_random(b, F32, n, 1);
    m[1] = put_random(b, F32, n, 1);
    m[2] = put_random(b, F32, p.C, 1);
    m[3] = space(b, F32, n);
    m[4] = space(b, F32, n);
    m[5] = space(b, F32, 2 * p.n);
    residual_normalize_loss(&p);
    b->d->run->residual_normalize_backward(b->d, dx, dz, dgamma, DEVICE_NOTHING, dy, m[4], m[5], m[2], &p.dropout, p.n, p.C);
    check(&p, "dx", m[0], dx, n);
    check(&p, "dz", m[1], dz, n);
    check(&p, "dgamma", m[2], dgamma, p.C);
    bench_close(b);
}

enum { WORDS = 6, POSITIONS = 9, TYPES = 2 };

static double embedding_loss(struct problem *p)
{
    device_memory *m = p->memory;
    p->b.d->run->embedding_forward(p->b.d, m[5], m[6], m[7], m[8], p->rows.positions, m[9], m[0], m[1], m[2], m[3], m[4], 1e-5f,
                                   &p->dropout, p->n, p->C);
    return against_fixed(p, m[5], p->n * p->C);
}

static void test_embedding(void **state)
{
    (void)state;
    struct problem p = {.loss = embedding_loss};
    problem_open(&p);
    p.dropout = dropout_of(&p.rows, 0.2f, 2);
    struct bench *b = &p.b;
    size_t sizes[] = {WORDS * p.C, POSITIONS * p.C, TYPES * p.C, p.C, p.C};
    static const char *const names[] = {"dword", "dposition", "dtype", "dgamma", "dbeta"};
    device_memory *m = p.memory, gradients[5], dy = fixed_gradient(&p, p.n * p.C);
    for (int i = 0; i < 5; i++) {
        m[i] = put_random(b, F32, sizes[i], 1);
        gradients[i] = space(b, F32, sizes[i]);
    }
    m[5] = space(b, F32, p.n * p.C);
    m[6] = space(b, F32, p.n * p.C);
    m[7] = space(b, F32, 2 * p.n);
    m[8] = put_choices(b, p.n, WORDS);
    m[9] = put_choices(b, p.n, TYPES);
    embedding_loss(&p);
    b->d->run->embedding_backward(b->d, gradients[0], gradients[1], gradients[2], gradients[3], gradients[4], dy, m[6], m[7],
                                  m[8], p.rows.positions, m[9], m[3], &p.dropout, p.n, p.C, WORDS, POSITIONS, TYPES);
    for (int i = 0; i < 5; i++)
        check(&p, names[i], m[i], gradients[i], sizes[i]);
    bench_close(b);
}

static double cross_entropy_loss(struct problem *p)
{
    device_memory *m = p->memory;
    const struct device_operations *run = p->b.d->run;
    run->classifier_forward(p->b.d, m[3], m[0], m[1], m[2], p->n, p->C, p->L);
    run->cross_entropy(p->b.d, m[4], m[5], m[3], m[6], m[7], NULL, p->n, p->L);
    double sum = 0;
    for (size_t i = 0; i < p->n; i++)
        sum += *element(m[4], i);
    return sum;
}

static double binary_loss(struct problem *p)
{
    device_memory *m = p->memory;
    const struct device_operations *run = p->b.d->run;
    run->classifier_forward(p->b.d, m[3], m[0], m[1], m[2], p->n, p->C, p->L);
    run->binary_cross_entropy(p->b.d, m[4], m[5], m[3], m[6], m[7], NULL, p->n, p->L);
    double sum = 0;
    for (size_t i = 0; i < p->n; i++)
        sum += *element(m[4], i);
    return sum;
}

static void check_losses(double (*loss)(struct problem *p))
{
    struct problem p = {.loss = loss};
    problem_open(&p);
    struct bench *b = &p.b;
    device_memory *m = p.memory, dx = space(b, F32, p.n * p.C), dw = space(b, F32, p.L * p.C), dbias = space(b, F32, p.L);
    m[0] = put_random(b, F32, p.n * p.C, 1);
    m[1] = put_random(b, F32, p.L * p.C, 0.3f);
    m[2] = put_random(b, F32, p.L, 1);
    m[3] = space(b, F32, p.n * p.L);
    m[4] = space(b, F32, p.n);
    m[5] = space(b, F32, p.n * p.L);
    m[6] = loss == binary_loss ? put_random(b, F32, p.n * p.L, 1) : put_choices(b, p.n, p.L);
    m[7] = put_values(b, F32, (const float[]){0.5f, 1, 3}, p.L);
    loss(&p);
    b->d->run->classifier_backward(b->d, dx, dw, dbias, m[5], m[0], m[1], p.n, p.C, p.L);
    check(&p, "dx", m[0], dx, p.n * p.C);
    check(&p, "dw", m[1], dw, p.L * p.C);
    check(&p, "dbias", m[2], dbias, p.L);
    bench_close(b);
}

static void test_losses(void **state)
{
    (void)state;
    check_losses(cross_entropy_loss);
    check_losses(binary_loss);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_linear),
        cmocka_unit_test(test_attention),
        cmocka_unit_test(test_first_attention),
        cmocka_unit_test(test_projected_attention),
        cmocka_unit_test(test_window_attention),
        cmocka_unit_test(test_relative_attention),
        cmocka_unit_test(test_rotate),
        cmocka_unit_test(test_gated),
        cmocka_unit_test(test_mean),
        cmocka_unit_test(test_residual_normalize),
        cmocka_unit_test(test_normalize),
        cmocka_unit_test(test_embedding),
        cmocka_unit_test(test_losses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
