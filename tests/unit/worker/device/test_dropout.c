/* SPDX-License-Identifier: Apache-2.0 */
/* Dropout: the mask of every device is philox.h's, bit for bit, forward and backward, however rows are batched. */
#include "common/base/philox.h"
#include "harness.h"

static const struct candidate {
    const char *device, *isa;
    enum precision precision;
} candidates[] = {
#ifdef TEST_GPU
    {TEST_GPU, "", PRECISION_F32},
    {TEST_GPU, "", PRECISION_BF16},
#else
    {"cpu_reference", "", PRECISION_F32}, {"cpu", "baseline", PRECISION_F32},  {"cpu", "avx2", PRECISION_F32},
    {"cpu", "avx512", PRECISION_F32},     {"cpu", "avx512", PRECISION_BF16},   {"cpu", "avx512_bf16", PRECISION_BF16},
    {"cpu", "avx2", PRECISION_BF16},      {"cpu", "baseline", PRECISION_BF16}, {"cpu", "amx_in_c", PRECISION_BF16},
    {"cpu", "amx", PRECISION_BF16},
#endif
};

static void on_each(void (*test)(struct bench *b))
{
    for (size_t i = 0; i < sizeof candidates / sizeof *candidates; i++) {
        struct bench b = {.random = 1};
        struct error e = {0};
        setenv("MUSTER_ISA", candidates[i].isa, 1);
        if (device_create(&b.d, candidates[i].device, candidates[i].precision, 2, &e) != 0)
            continue;
        char device[128];
        device_describe(b.d, device, sizeof device);
        print_message("%s\n", device);
        test(&b);
        bench_close(&b);
    }
    setenv("MUSTER_ISA", "", 1);
}

static int keeps(const struct dropout *p, uint32_t row, uint32_t position, uint32_t element)
{
    return dropout_keeps(p->seed, p->epoch, p->site, row, position, element, dropout_bound(p->probability));
}

static float *ones_dropped(struct bench *b, const struct rows *r, const struct dropout *p, size_t C)
{
    float *ones = malloc(r->T * C * sizeof *ones);
    for (size_t i = 0; i < r->T * C; i++)
        ones[i] = 1;
    device_memory x = put_values(b, ACT, ones, r->T * C);
    b->d->run->dropout_apply(b->d, x, x, p, 0, r->T, C);
    free(ones);
    return take_values(b, x, ACT, r->T * C);
}

static float stored(const struct bench *b, float x)
{
    return b->d->precision == PRECISION_BF16 ? bf16_to_float(bf16_from_float(x)) : x;
}

static void vectors(struct bench *b)
{
    static const size_t lengths[] = {3, 11}, widths[] = {1, 20, 384, 771};
    static const float probabilities[] = {0.1f, 0.5f, 0.9f, 1e-6f};
    for (int w = 0; w < 4; w++)
        for (int k = 0; k < 4; k++) {
            bench_clear(b);
            struct rows r = put_rows(b, lengths, 2, 1000);
            struct dropout p = dropout_of(&r, probabilities[k], 9);
            float *y = ones_dropped(b, &r, &p, widths[w]), scale = stored(b, dropout_scale(p.probability));
            for (size_t i = 0; i < r.T * widths[w]; i++) {
                size_t t = i / widths[w], element = i % widths[w];
                int keep = keeps(&p, t < 3 ? 1000 : 1007, (uint32_t)(t < 3 ? t : t - 3), (uint32_t)element);
                if (y[i] != (keep ? scale : 0))
                    fail_msg("width %zu, p %g, token %zu, element %zu: expected %g, found %g", widths[w], p.probability, t,
                             element, keep ? scale : 0, y[i]);
            }
            free(y);
        }
}

static void test_vectors(void **state)
{
    (void)state;
    on_each(vectors);
}

static void test_rate(void **state)
{
    (void)state;
    struct bench b;
    bench_open(&b, "cpu", PRECISION_F32, 2);
    struct rows r = put_rows(&b, (const size_t[]){500}, 1, 3);
    struct dropout p = dropout_of(&r, 0.1f, 2);
    float *y = ones_dropped(&b, &r, &p, 384);
    double sum = 0, n = 500 * 384;
    for (int i = 0; i < 500 * 384; i++)
        sum += y[i];
    free(y);
    double off = sum / n - 1, deviation = sqrt(0.1 / 0.9 / n);
    if (fabs(off) > 5 * deviation)
        fail_msg("mean of ones: expected 1 within %g, found %g", 5 * deviation, 1 + off);
    bench_close(&b);
}

/* The last row of a batch, alone: the same mask. */
static void batching(struct bench *b)
{
    enum { C = 40 };
    bench_clear(b);
    struct rows both = put_rows(b, (const size_t[]){5, 9}, 2, 1000), alone = put_rows(b, (const size_t[]){9}, 1, 1007);
    struct dropout p = dropout_of(&both, 0.3f, 2), q = dropout_of(&alone, 0.3f, 2);
    float *x = ones_dropped(b, &both, &p, C), *y = ones_dropped(b, &alone, &q, C);
    assert_memory_equal(x + 5 * C, y, 9 * C * sizeof *x);
    free(x);
    free(y);
}

static void test_batching(void **state)
{
    (void)state;
    on_each(batching);
}

/* Queries of zero give every key the weight 1 / n. Values that are 1 at channel (key - base) show the weights of keys base..base
 * + D - 1 in y; gradients that are 1 at channel (query - base) show those of queries in dv. */
struct window {
    size_t n, H, D, base;
};

static float *unit_vectors(const struct window *w, size_t parts, size_t part)
{
    size_t C = w->H * w->D;
    float *ret = calloc(w->n * parts * C, sizeof *ret);
    for (size_t i = w->base; i < w->base + w->D && i < w->n; i++)
        for (size_t h = 0; h < w->H; h++)
            ret[(i * parts + part) * C + h * w->D + i - w->base] = 1;
    return ret;
}

static void check_weight(const struct bench *b, const struct window *w, const struct dropout *p, size_t head, size_t query,
                         size_t key, float found, const char *what)
{
    float weight =
        keeps(p, 1000, (uint32_t)query, (uint32_t)(head << 19 | key)) ? dropout_scale(p->probability) / (float)w->n : 0;
    float allowed = weight * (b->d->precision == PRECISION_BF16 ? 8e-3f : 1e-5f);
    if (!(fabsf(found - weight) <= allowed))
        fail_msg("%s, n %zu, head %zu, query %zu, key %zu: expected %g, found %g", what, w->n, head, query, key, weight, found);
}

static void window_check(struct bench *b, const struct window *w)
{
    const struct device_operations *run = b->d->run;
    bench_clear(b);
    size_t C = w->H * w->D;
    struct rows r = put_rows(b, &w->n, 1, 1000);
    struct dropout p = dropout_of(&r, 0.25f, 4);
    float *values = unit_vectors(w, 3, 2), *gradients = unit_vectors(w, 1, 0);
    device_memory qkv = put_values(b, ACT, values, w->n * 3 * C), dy = put_values(b, ACT, gradients, w->n * C);
    device_memory y = space(b, ACT, w->n * C), log_sum = space(b, F32, w->H * w->n), dqkv = space(b, ACT, w->n * 3 * C);
    run->attention_forward(b->d, y, log_sum, qkv, r.offsets, &p, 1, w->n, w->H, w->D);
    run->attention_backward(b->d, dqkv, dy, y, qkv, log_sum, r.offsets, &p, 1, w->n, w->H, w->D);
    float *shown = take_values(b, y, ACT, w->n * C), *back = take_values(b, dqkv, ACT, w->n * 3 * C);
    for (size_t i = 0; i < w->n; i++)
        for (size_t h = 0; h < w->H; h++)
            for (size_t j = w->base; j < w->base + w->D && j < w->n; j++) {
                check_weight(b, w, &p, h, i, j, shown[i * C + h * w->D + j - w->base], "forward");
                check_weight(b, w, &p, h, j, i, back[i * 3 * C + 2 * C + h * w->D + j - w->base], "backward");
            }
    free(values);
    free(gradients);
    free(shown);
    free(back);
}

/* The reference is slow, and an emulated GPU. */
static bool quick(const struct device *d)
{
#ifdef MUSTER_EMULATED
    (void)d;
    return false;
#else
    return d->run->kind != DEVICE_CPU_REFERENCE;
#endif
}

static void weights(struct bench *b)
{
    static const struct window windows[] = {{1, 2, 8, 0}, {7, 5, 4, 4}, {64, 3, 64, 0}, {130, 2, 32, 96}, {203, 1, 64, 150}};
    for (size_t i = 0; i < sizeof windows / sizeof *windows; i++)
        if (quick(b->d) || windows[i].n < 100)
            window_check(b, &windows[i]);
}

static void test_attention_weights(void **state)
{
    (void)state;
    on_each(weights);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_batching),
        cmocka_unit_test(test_attention_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
