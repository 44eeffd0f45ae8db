/* SPDX-License-Identifier: Apache-2.0 */
/* Nothing to do, too much to do, numbers that are none: no crash, no lie. Memory in a steady state. */
#include "harness.h"

#include "worker/device/cpu_device.h"

static const char *const isas[] = {"", "baseline", "avx2", "avx512", NULL};

/* Runs `test` on every kind of cpu device that this machine has. */
static void on_each(void (*test)(struct bench *b))
{
    for (int i = 0; isas[i]; i++)
        for (int precision = PRECISION_F32; precision <= PRECISION_BF16; precision++) {
            struct bench b = {.random = 1};
            struct error e = {0};
            setenv("MUSTER_ISA", isas[i], 1);
            if (device_create(&b.d, "cpu", (enum precision)precision, 2, &e) != 0)
                continue;
            test(&b);
            assert_int_equal(b.d->run->finish(b.d, &e), 0);
            bench_close(&b);
        }
    setenv("MUSTER_ISA", "", 1);
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
    run->dropout_apply(b->d, x, x, &p, T, C);
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
    const struct adamw a = {1, 1, 1, 1, 1, 1, 1, 1};
    device_memory m = space(b, F32, 1);
    b->d->run->adamw(b->d, m, m, m, m, m, &a, 0);
    b->d->run->adamw_rows(b->d, m, m, m, m, m, m, &a, 0, 5);
    b->d->run->add(b->d, m, m, 0);
    b->d->run->zero(b->d, m, 0);
    b->d->run->copy(b->d, m, m, 0);
    assert_true(b->d->run->sum_of_squares(b->d, m, 0) == 0);
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
    double sum = b->d->run->sum_of_squares(b->d, x, 3);
    if (!isnan(sum)) /* the trainer stops on it */
        fail_msg("sum of squares with a NaN: expected NaN, found %g", sum);
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
    b.d->run->dropout_apply(b.d, x, x, NULL, 1, wide);
    b.d->run->dropout_apply(b.d, y, x, NULL, 1, 2);
    float *values = take_values(&b, y, F32, 2);
    assert_true(values[0] == 3 && values[1] == 4);
    free(values);
    assert_int_equal(b.d->run->finish(b.d, &e), -1);
    assert_non_null(strstr(e.message, "65537"));
    assert_int_equal(b.d->run->finish(b.d, &e), 0);
    b.d->run->dropout_apply(b.d, y, x, NULL, 1, 2);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_to_do),         cmocka_unit_test(test_empty_gradients),
        cmocka_unit_test(test_numbers_that_are_none), cmocka_unit_test(test_nan_survives),
        cmocka_unit_test(test_steady_memory),         cmocka_unit_test(test_names),
        cmocka_unit_test(test_too_much_memory),       cmocka_unit_test(test_failure_sticks),
        cmocka_unit_test(test_rate_and_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
