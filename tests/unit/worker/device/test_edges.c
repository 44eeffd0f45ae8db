/* SPDX-License-Identifier: Apache-2.0 */
/* Nothing to do, too much to do, numbers that are none: no crash, no lie. Memory in a steady state. */
#include "harness.h"

#include "worker/device/cpu_device.h"
#include "worker/device/host.h"

static const char *const isas[] = {"", "baseline", "avx2", "avx512", "amx_in_c", NULL};

/* Runs `test` on every kind of cpu device that this machine has. */
static void on_device(const char *name, const char *isa, void (*test)(struct bench *b))
{
    for (int precision = PRECISION_F32; precision <= PRECISION_BF16; precision++) {
        struct bench b = {.random = 1};
        struct error e = {0};
        setenv("MUSTER_ISA", isa, 1);
        if (device_create(&b.d, name, (enum precision)precision, 2, &e) != 0)
            continue;
        test(&b);
        assert_int_equal(b.d->run->finish(b.d, &e), 0);
        bench_close(&b);
    }
}

static void on_each(void (*test)(struct bench *b))
{
    for (int i = 0; isas[i]; i++)
        on_device("cpu", isas[i], test);
    setenv("MUSTER_ISA", "", 1);
}

static void on_reference_and_each(void (*test)(struct bench *b))
{
    on_device("cpu_reference", "", test);
    on_each(test);
}

/* Every operation, on T tokens of rows of these lengths. */
static void everything(struct bench *b, const size_t *lengths, size_t B)
{
    const struct device_operations *run = b->d->run;
    enum { C = 24, H = 3, F = 40, L = 3, V = 11, U = 4, P = 600 };
    struct rows r = put_rows(b, lengths, B, 1);
    struct dropout p = dropout_of(&r, 0.1f, 1);
    size_t T = r.T;
    device_memory x = put_random(b, ACT, T * C, 1), y = put_random(b, ACT, T * C, 1), sum = put_random(b, ACT, T * C, 1);
    device_memory wide = put_random(b, ACT, T * 3 * C, 1), dwide = put_random(b, ACT, T * 3 * C, 1),
                  h = put_random(b, ACT, T * F, 1);
    device_memory statistics = put_random(b, F32, 2 * T, 1), log_sum = put_random(b, F32, H * T, 1),
                  w = put_random(b, ACT, F * C, 1);
    device_memory dw = space(b, F32, F * C), bias = put_random(b, F32, F, 1), dbias = space(b, F32, F),
                  table = put_random(b, F32, P * C, 1);
    device_memory dtable = space(b, F32, P * C), dword = space(b, F32, U * C), dtype = space(b, F32, 2 * C),
                  gamma = put_random(b, F32, C, 1);
    device_memory ids = put_choices(b, T, V), slots = put_choices(b, T, U), types = put_choices(b, T, 2),
                  classes = put_choices(b, B, L);
    device_memory logits = put_random(b, F32, B * L, 1), dlogits = space(b, F32, B * L), loss = space(b, F32, B);
    run->embedding_forward(b->d, y, sum, statistics, ids, r.positions, types, table, table, table, gamma, gamma, 1e-12f, &p, T,
                           C);
    run->embedding_backward(b->d, dword, dtable, dtype, dbias, dbias, y, sum, statistics, slots, r.positions, types, gamma, &p, T,
                            C, U, P, 2);
    for (enum activation a = ACTIVATION_NONE; a <= ACTIVATION_TANH; a++) {
        run->linear_forward(b->d, h, a ? dwide : h, x, w, bias, a, T, C, F);
        run->activation_backward(b->d, h, DEVICE_NOTHING, h, h, a, T * F);
    }
    run->linear_backward(b->d, x, dw, dbias, h, y, w, 1, T, C, F);
    run->attention_forward(b->d, y, log_sum, wide, r.offsets, &p, B, T, H, C / H);
    run->attention_backward(b->d, dwide, x, y, wide, log_sum, r.offsets, &p, B, T, H, C / H);
    run->first_attention_forward(b->d, y, log_sum, x, wide, r.offsets, &p, B, T, H, C / H);
    run->first_attention_backward(b->d, sum, dwide, x, y, x, wide, log_sum, r.offsets, &p, B, T, H, C / H);
    device_memory maps = put_random(b, ACT, 2 * C * C, 0.1f), dmaps = space(b, F32, 2 * C * C),
                  biases = put_random(b, F32, 2 * C, 1);
    run->projected_attention_forward(b->d, y, log_sum, x, wide, maps, biases, r.offsets, &p, B, T, H, C / H);
    run->projected_attention_backward(b->d, sum, dwide, dmaps, biases, x, y, x, wide, maps, biases, log_sum, r.offsets, &p, B, T,
                                      H, C / H);
    for (size_t half = 0; half < 60; half = 3 * half + 1) {
        const struct attention_window near = {half, half % 2};
        run->window_attention_forward(b->d, y, log_sum, wide, r.offsets, &near, &p, B, T, H, C / H);
        run->window_attention_backward(b->d, dwide, x, y, wide, log_sum, r.offsets, &near, &p, B, T, H, C / H);
    }
    struct relative_bias near = put_bias(b, 600, 20, 10, 3, true, true, C);
    device_memory dbiases = space(b, ACT, near.S * 2 * C);
    run->relative_attention_forward(b->d, y, log_sum, wide, r.offsets, &near, &p, B, T, H, C / H);
    run->relative_attention_backward(b->d, dwide, dbiases, dbiases, x, y, wide, log_sum, r.offsets, &near, &p, B, T, H, C / H);
    run->first_relative_attention_forward(b->d, y, log_sum, x, wide, r.offsets, &near, &p, B, T, H, C / H);
    run->first_relative_attention_backward(b->d, sum, dwide, dbiases, dbiases, x, y, x, wide, log_sum, r.offsets, &near, &p, B, T,
                                           H, C / H);
    run->rotate(b->d, wide, r.positions, 10000, 0, T, 2 * H, C / H, 3 * C);
    run->gated_forward(b->d, y, wide, ACTIVATION_GELU, T, C);
    run->gated_backward(b->d, dwide, y, x, wide, ACTIVATION_GELU, T, C);
    run->mean_tokens(b->d, y, x, r.offsets, B, C);
    run->mean_tokens_backward(b->d, x, y, r.offsets, B, C);
    run->replace_first_tokens(b->d, x, y, r.offsets, B, C);
    run->residual_normalize_backward(b->d, x, y, dbias, dbias, sum, sum, statistics, gamma, &p, T, C);
    run->normalize_forward(b->d, y, sum, statistics, x, y, gamma, gamma, 1e-12f, &p, T, C);
    run->normalize_backward(b->d, x, y, dbias, dbias, x, sum, statistics, gamma, &p, T, C);
    run->dropout_apply(b->d, x, x, &p, 0, T, C);
    run->first_tokens(b->d, y, x, r.offsets, B, C);
    run->first_tokens_backward(b->d, x, y, r.offsets, B, T, C);
    run->classifier_forward(b->d, logits, y, table, bias, B, C, L);
    run->cross_entropy(b->d, loss, dlogits, logits, classes, bias, NULL, B, L);
    run->binary_cross_entropy(b->d, loss, dlogits, logits, logits, bias, NULL, B, L);
    run->classifier_backward(b->d, y, dtable, dbias, dlogits, y, table, B, C, L);
}

static void nothing(struct bench *b)
{
    everything(b, NULL, 0);
    const struct adamw a = {1, 1, 1, 1, 1, 1, 1};
    device_memory m = space(b, F32, 1), control = put_control(b, 1), sum = room(b, 8);
    b->d->run->adamw(b->d, m, m, m, m, m, &a, control, 0);
    b->d->run->adamw_rows(b->d, m, m, m, m, m, m, &a, control, 0, 5);
    b->d->run->add(b->d, m, m, 0);
    b->d->run->zero(b->d, m, 0);
    b->d->run->copy(b->d, m, m, 0);
    b->d->run->sum_of_squares(b->d, sum, m, 0);
    b->d->run->loss_sums(b->d, m, m, m, 0, 5); /* writes that no loss is bad */
    assert_true(take_double(b, sum) == 0);
    float bad;
    b->d->run->download(b->d, &bad, m, 4);
    assert_true(bad == 0);
}

static void test_nothing_to_do(void **state)
{
    (void)state;
    on_each(nothing);
}

/* A batch of no tokens still writes its gradients: zeros. */
static void empty_gradients(struct bench *b)
{
    device_memory dw = space(b, F32, 6), dbias = space(b, F32, 3), x = space(b, ACT, 8);
    b->d->run->linear_backward(b->d, DEVICE_NOTHING, dw, dbias, x, x, x, 0, 0, 2, 3);
    float *w = take_values(b, dw, F32, 6), *bias = take_values(b, dbias, F32, 3);
    for (int i = 0; i < 6; i++)
        assert_true(w[i] == 0 && bias[i / 2] == 0);
    free(w);
    free(bias);
}

static void test_empty_gradients(void **state)
{
    (void)state;
    on_each(empty_gradients);
}

static void poisoned(struct bench *b)
{
    b->poison = true;
    everything(b, (const size_t[]){1, 40, 7}, 3);
    device_memory x = put_values(b, F32, (const float[]){1, NAN, 2}, 3);
    device_memory sum = room(b, 8);
    b->d->run->sum_of_squares(b->d, sum, x, 3);
    if (!isnan(take_double(b, sum))) /* the trainer stops on it */
        fail_msg("sum of squares with a NaN: expected NaN, found %g", take_double(b, sum));
}

static void clip_of(struct bench *b, device_memory control, double square, float bad, double clip)
{
    device_memory sum = room(b, sizeof square);
    b->d->run->upload(b->d, sum, &square, sizeof square);
    b->d->run->clip(b->d, control, sum, put_values(b, F32, &bad, 1), 4, clip);
}

static void expect_control(struct bench *b, device_memory control, double norm, float scale, int bad)
{
    struct step_control c;
    b->d->run->download(b->d, &c, control, sizeof c);
    if (c.norm != norm || c.scale != scale || c.bad != bad)
        fail_msg("expected norm %g, scale %g, bad %d; found %g, %g, %d", norm, (double)scale, bad, c.norm, (double)c.scale,
                 c.bad);
}

/* Sums in double, and a sign that training has diverged: it stays. */
static void controls(struct bench *b)
{
    device_memory control = put_control(b, 0), sums = room(b, 3 * sizeof(double)), bad = space(b, F32, 1);
    clip_of(b, control, 400, 0, 0);
    expect_control(b, control, 5, 0.25f, 0);
    clip_of(b, control, 400, 0, 1e9);
    expect_control(b, control, 5, 0.25f, 0);
    clip_of(b, control, 400, 0, 1);
    expect_control(b, control, 5, (float)(1 / (5 + 1e-6) / 4), 0);
    static const float losses[2][5] = {{16777216, 1, 3, -INFINITY, 7}, {16777216, 1, 3, 5, 7}};
    for (int well = 0; well < 2; well++) {
        b->d->run->loss_sums(b->d, sums, bad, put_values(b, F32, losses[well], 5), 5, 2);
        float *found = take_values(b, bad, F32, 1);
        assert_true(found[0] == (well ? 0 : 1));
        free(found);
        assert_true(take_double(b, sums) == 16777217 && take_double(b, device_at(sums, 16)) == 7);
        assert_true(take_double(b, device_at(sums, 8)) == (well ? 8 : -INFINITY));
    }
    clip_of(b, control, 400, 2, 0);
    expect_control(b, control, 5, 0.25f, 1);
    clip_of(b, control, 1600, 0, 0);
    expect_control(b, control, 10, 0.25f, 1);
    control = put_control(b, 0);
    clip_of(b, control, INFINITY, 0, 0);
    expect_control(b, control, INFINITY, 0.25f, 1);
}

static void test_control(void **state)
{
    (void)state;
    on_reference_and_each(controls);
}

/* Neither values nor moments nor what was seen, of either kind of update. */
static void diverged(struct bench *b)
{
    enum { N = 12, V = 3 };
    float before[4][N], after[N];
    uint8_t seen_before[V] = {1, 0, 0}, seen_after[V];
    device_memory arrays[4], control = put_control(b, 0), seen = room(b, V), shadow = put_random(b, ACT, N, 1);
    float *shadow_before = take_values(b, shadow, ACT, N);
    for (int i = 0; i < 4; i++) {
        arrays[i] = put_random(b, F32, N, 1);
        b->d->run->download(b->d, before[i], arrays[i], sizeof before[i]);
    }
    b->d->run->upload(b->d, seen, seen_before, V);
    clip_of(b, control, NAN, 0, 1);
    const struct adamw a = {0.1f, 0.9f, 0.999f, 1e-8f, 0.01f, 0.1f, 0.001f};
    b->d->run->adamw(b->d, arrays[0], shadow, arrays[1], arrays[2], arrays[3], &a, control, N);
    b->d->run->adamw_rows(b->d, arrays[0], arrays[1], arrays[2], arrays[3], seen, put_integers(b, (const int32_t[]){0, 1, -1}, V),
                          &a, control, V, N / V);
    for (int i = 0; i < 4; i++) {
        b->d->run->download(b->d, after, arrays[i], sizeof after);
        assert_memory_equal(after, before[i], sizeof after);
    }
    b->d->run->download(b->d, seen_after, seen, V);
    assert_memory_equal(seen_after, seen_before, V);
    float *shadow_after = take_values(b, shadow, ACT, N);
    assert_memory_equal(shadow_after, shadow_before, N * sizeof(float));
    free(shadow_before);
    free(shadow_after);
}

static void test_diverged(void **state)
{
    (void)state;
    on_reference_and_each(diverged);
}

static void test_numbers_that_are_none(void **state)
{
    (void)state;
    on_each(poisoned);
}

/* A NaN going in comes out of each operation on the way to the loss. */
static void nan_survives(struct bench *b)
{
    const struct device_operations *run = b->d->run;
    enum { T = 5, C = 24, F = 40, H = 3 };
    struct rows r = put_rows(b, (const size_t[]){T}, 1, 1);
    float bad[T * 3 * C];
    for (int i = 0; i < T * 3 * C; i++)
        bad[i] = i == 7 ? NAN : 0.5f;
    device_memory x = put_values(b, ACT, bad, T * 3 * C), w = put_random(b, ACT, F * C, 1), bias = put_random(b, F32, F, 1);
    device_memory y = space(b, ACT, T * F), pre = space(b, ACT, T * F), sum = space(b, ACT, T * C),
                  log_sum = space(b, F32, H * T);
    for (enum activation a = ACTIVATION_NONE; a <= ACTIVATION_TANH; a++) {
        run->linear_forward(b->d, y, a ? pre : y, x, w, bias, a, T, C, F);
        float *values = take_values(b, y, ACT, F);
        for (int i = 0; i < F; i++)
            if (!isnan(values[i]))
                fail_msg("activation %d: expected NaN at %d, found %g", (int)a, i, values[i]);
        free(values);
    }
    run->attention_forward(b->d, y, log_sum, x, r.offsets, NULL, 1, T, H, C / H);
    float *values = take_values(b, y, ACT, T * C);
    assert_true(isnan(values[0]));
    free(values);
    run->normalize_forward(b->d, y, sum, log_sum, x, w, bias, bias, 1e-12f, NULL, T, C);
    values = take_values(b, y, ACT, C);
    assert_true(isnan(values[0]));
    free(values);
}

static void test_nan_survives(void **state)
{
    (void)state;
    on_each(nan_survives);
}

/* Memory of its own is had in the first step; the same step again asks for none. */
static void steady(struct bench *b)
{
    static const size_t lengths[] = {60, 130, 31};
    everything(b, lengths, 3);
    const struct cpu *c = cpu_of(b->d);
    void *before[SCRATCH_COUNT];
    for (int i = 0; i < SCRATCH_COUNT; i++)
        before[i] = c->scratch[i].memory;
    bench_clear(b);
    everything(b, lengths, 3);
    for (int i = 0; i < SCRATCH_COUNT; i++)
        assert_ptr_equal(c->scratch[i].memory, before[i]);
}

static void test_steady_memory(void **state)
{
    (void)state;
    on_each(steady);
}

static void test_names(void **state)
{
    (void)state;
    struct device *d = NULL;
    struct error e = {0};
    assert_int_equal(device_create(&d, "cdu", PRECISION_F32, 1, &e), -1);
    assert_int_equal(e.kind, ERROR_USAGE);
    assert_non_null(strstr(e.message, "\"cdu\""));
    setenv("MUSTER_ISA", "avx1024", 1);
    assert_int_equal(device_create(&d, "cpu", PRECISION_F32, 1, &e), -1);
    assert_int_equal(e.kind, ERROR_USAGE);
    assert_null(d);
    setenv("MUSTER_ISA", "", 1);
}

static void test_too_much_memory(void **state)
{
    (void)state;
    static const char *const names[] = {"cpu", "cpu_reference", "guarded"};
    for (int i = 0; i < 3; i++) {
        struct device *d;
        struct error e = {0};
        device_memory m = DEVICE_NOTHING;
        assert_int_equal(device_create(&d, names[i], PRECISION_F32, 1, &e), 0);
        assert_int_equal(d->run->allocate(d, &m, SIZE_MAX - 4096, &e), -1);
        assert_int_equal(e.kind, ERROR_FAILED);
        assert_true(m.address == 0);
        d->run->destroy(d);
    }
}

/* What cannot be done sticks: the next operation does nothing, finish tells, and the one after works. */
static void test_failure_sticks(void **state)
{
    (void)state;
    struct bench b;
    struct error e = {0};
    bench_open(&b, "cpu", PRECISION_F32, 1);
    device_memory x = put_values(&b, F32, (const float[]){1, 2}, 2), y = put_values(&b, F32, (const float[]){3, 4}, 2);
    size_t wide = (size_t)KERNEL_WIDTH_MAX + 1;
    b.d->run->dropout_apply(b.d, x, x, NULL, 0, 1, wide);
    b.d->run->dropout_apply(b.d, y, x, NULL, 0, 1, 2);
    float *values = take_values(&b, y, F32, 2);
    assert_true(values[0] == 3 && values[1] == 4);
    free(values);
    assert_int_equal(b.d->run->finish(b.d, &e), -1);
    assert_non_null(strstr(e.message, "65537"));
    assert_int_equal(b.d->run->finish(b.d, &e), 0);
    b.d->run->dropout_apply(b.d, y, x, NULL, 0, 1, 2);
    values = take_values(&b, y, F32, 2);
    assert_true(values[0] == 1 && values[1] == 2);
    free(values);
    bench_close(&b);
}

static void test_rate_and_work(void **state)
{
    (void)state;
    struct bench b;
    bench_open(&b, "cpu", PRECISION_F32, 1);
    b.d->peak = device_peak(b.d);
    if (!(b.d->peak > 0.1 && b.d->peak < 1e6))
        fail_msg("peak: expected some GFLOPS, found %g", b.d->peak);
    assert_true(device_peak_share(b.d, b.d->peak / 4) == 0.25);
    assert_true(device_peak_share(b.d, 1e7) == 1 && b.d->peak == 1e7); /* faster work than was ever measured */
    device_memory x = put_random(&b, ACT, 6, 1), w = put_random(&b, ACT, 8, 1), y = space(&b, ACT, 12),
                  bias = put_random(&b, F32, 4, 1);
    b.d->run->linear_forward(b.d, y, y, x, w, bias, ACTIVATION_NONE, 3, 2, 4);
    assert_true(device_flops(b.d) == 2 * 3 * 2 * 4);
    bench_close(&b);
}

/* Against the pairs counted one by one. */
static void test_pairs_seen(void **state)
{
    (void)state;
    assert_true(pairs_seen(NULL, 7) == 49);
    for (size_t n = 1; n <= 12; n++)
        for (size_t half = 0; half <= 13; half++)
            for (int first = 0; first <= 1; first++) {
                const struct attention_window w = {half, first};
                size_t seen = 0;
                for (size_t i = 0; i < n * n; i++)
                    seen += window_sees(&w, i / n, i % n);
                if (pairs_seen(&w, (double)n) != (double)seen)
                    fail_msg("%zu tokens, half %zu, first %d: expected %zu pairs, found %g", n, half, first, seen,
                             pairs_seen(&w, (double)n));
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_to_do),
        cmocka_unit_test(test_empty_gradients),
        cmocka_unit_test(test_numbers_that_are_none),
        cmocka_unit_test(test_control),
        cmocka_unit_test(test_diverged),
        cmocka_unit_test(test_nan_survives),
        cmocka_unit_test(test_steady_memory),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_too_much_memory),
        cmocka_unit_test(test_failure_sticks),
        cmocka_unit_test(test_rate_and_work),
        cmocka_unit_test(test_pairs_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
