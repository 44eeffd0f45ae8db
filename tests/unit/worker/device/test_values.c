/* SPDX-License-Identifier: Apache-2.0 */
/* Values of the reference's operations as PyTorch 2.13.0 gives them (float64; AdamW float32):
 * torch.nn.functional.{cross_entropy(weight, reduction="none"), binary_cross_entropy_with_logits(pos_weight).sum(1), gelu,
 * gelu(approximate="tanh"), layer_norm, scaled_dot_product_attention}, torch.tanh, torch.optim.AdamW(lr=0.1, betas=(0.9, 0.999),
 * eps=1e-8, weight_decay=0.01). */
#include "harness.h"

static void check(struct bench *b, const char *what, device_memory m, const float *expected, size_t n)
{
    float *found = take_values(b, m, F32, n);
    for (size_t i = 0; i < n; i++)
        if (!(fabsf(found[i] - expected[i]) <= 2e-6f * fmaxf(1, fabsf(expected[i]))))
            fail_msg("%s[%zu]: expected %.9g, found %.9g", what, i, expected[i], found[i]);
    free(found);
}

static void losses(struct bench *b)
{
    device_memory logits = put_values(b, F32, (const float[]){0.5f, -1.25f, 2, 3, 0.1f, -0.7f}, 6), loss = space(b, F32, 2);
    device_memory weights = put_values(b, F32, (const float[]){0.5f, 1.5f, 2}, 3),
                  classes = put_integers(b, (const int32_t[]){2, 1}, 2);
    device_memory targets = put_values(b, F32, (const float[]){1, 0, 1, 0, 1, 0}, 6);
    b->d->run->cross_entropy(b->d, loss, DEVICE_NOTHING, logits, classes, weights, NULL, 2, 3);
    check(b, "cross entropy", loss, (const float[]){0.465243966f, 4.46508978f}, 2);
    b->d->run->binary_cross_entropy(b->d, loss, DEVICE_NOTHING, logits, targets, weights, NULL, 2, 3);
    check(b, "binary cross entropy", loss, (const float[]){0.742823596f, 4.41836839f}, 2);
}

static void activations(struct bench *b)
{
    static const struct {
        enum activation activation;
        float y[7];
    } known[] = {
        {ACTIVATION_GELU, {-0.00404969409f, -0.158655254f, -0.0460172163f, 0, 0.0539827837f, 0.841344746f, 2.99595031f}},
        {ACTIVATION_GELU_NEW, {-0.00363739208f, -0.158808009f, -0.046017249f, 0, 0.053982751f, 0.841191991f, 2.99636261f}},
        {ACTIVATION_TANH, {-0.995054754f, -0.761594156f, -0.0996679946f, 0, 0.0996679946f, 0.761594156f, 0.995054754f}},
        {ACTIVATION_RELU, {0, 0, 0, 0, 0.1f, 1, 3}},
    };
    device_memory x = put_values(b, F32, (const float[]){-3, -1, -0.1f, 0, 0.1f, 1, 3}, 7),
                  one = put_values(b, F32, (const float[]){1}, 1);
    device_memory y = space(b, F32, 7), bias = put_values(b, F32, (const float[]){0}, 1);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        b->d->run->linear_forward(b->d, y, DEVICE_NOTHING, x, one, bias, known[i].activation, 7, 1, 1);
        check(b, "activation", y, known[i].y, 7);
    }
}

/* gelu over its whole range: within a few units in the last place of the C library's. */
static void gelu_everywhere(struct bench *b)
{
    enum { N = 40001 };
    float *values = malloc(N * sizeof *values);
    for (int i = 0; i < N; i++)
        values[i] = (float)(i - N / 2) * 5e-4f;
    device_memory x = put_values(b, F32, values, N), y = space(b, F32, N), slope = space(b, F32, N);
    for (int i = 0; i < N; i++)
        values[i] = 1;
    device_memory dy = put_values(b, F32, values, N);
    b->d->run->activation_backward(b->d, slope, y, dy, x, ACTIVATION_GELU, N);
    float *found = take_values(b, y, F32, N), *found_slope = take_values(b, slope, F32, N);
    for (int i = 0; i < N; i++) {
        double at = (float)(i - N / 2) * 5e-4f, gate = 0.5 * erfc(-at / M_SQRT2), density = exp(-at * at / 2) / sqrt(2 * M_PI);
        double allowed = 5e-7 * fmax(1, fabs(at));
        if (!(fabs(found[i] - at * gate) <= allowed && fabs(found_slope[i] - (gate + at * density)) <= allowed))
            fail_msg("gelu(%g): expected %.9g, slope %.9g; found %.9g, slope %.9g", at, at * gate, gate + at * density, found[i],
                     found_slope[i]);
    }
    free(values);
    free(found);
    free(found_slope);
}

static void layer_norm(struct bench *b)
{
    device_memory x = put_values(b, F32, (const float[]){1, 2, 4, 0}, 4), z = put_values(b, F32, (const float[]){0, 0, 0, 8}, 4);
    device_memory gamma = put_values(b, F32, (const float[]){1, 2, 3, 4}, 4),
                  beta = put_values(b, F32, (const float[]){0.1f, 0.2f, 0.3f, 0.4f}, 4);
    device_memory y = space(b, F32, 4), statistics = space(b, F32, 2);
    b->d->run->normalize_forward(b->d, y, z, statistics, x, z, gamma, beta, 1e-5f, NULL, 1, 4);
    check(b, "layer norm", y, (const float[]){-0.925754575f, -1.10550582f, 0.579751248f, 6.74102828f}, 4);
}

static void optimizer(struct bench *b)
{
    static const float gradients[3][3] = {{0.1f, -0.2f, 0.3f}, {0.5f, 0.5f, -0.5f}, {0, 0, 1}};
    device_memory p = put_values(b, F32, (const float[]){1, -2, 0.5f}, 3), m = space(b, F32, 3), v = space(b, F32, 3);
    b->d->run->zero(b->d, m, 12);
    b->d->run->zero(b->d, v, 12);
    for (int t = 1; t <= 3; t++) {
        struct adamw a = {0.1f, 0.9f, 0.999f, 1e-8f, 0.01f, (float)(1 - pow(0.9, t)), (float)(1 - pow(0.999, t))};
        b->d->run->adamw(b->d, p, DEVICE_NOTHING, put_values(b, F32, gradients[t - 1], 3), m, v, &a, put_control(b, 1), 3);
    }
    check(b, "adamw", p, (const float[]){0.744625211f, -1.97256672f, 0.384259403f}, 3);
}

static void attention(struct bench *b)
{
    static const float qkv[] = {1, 0.5f, 0.2f, 1, 1, 2, -1, 2, 1, -1, 3, 4, 0.3f, 0.2f, 2, 0.1f, -5, 6};
    struct rows r = put_rows(b, (const size_t[]){3}, 1, 1);
    device_memory x = put_values(b, F32, qkv, 18), y = space(b, F32, 6), log_sum = space(b, F32, 3);
    b->d->run->attention_forward(b->d, y, log_sum, x, r.offsets, NULL, 1, 3, 1, 2);
    check(b, "attention", y, (const float[]){-2.10126681f, 4.71549902f, 0.637209122f, 2.3424913f, -0.870387828f, 4.1821547f}, 6);
}

static void test_values(void **state)
{
    (void)state;
    static const char *const devices[] = {"cpu_reference", "cpu", "cpu", "cpu"}, *const isas[] = {"", "", "avx2", "baseline"};
    for (int i = 0; i < 4; i++) {
        struct bench b = {.random = 1};
        struct error e;
        setenv("MUSTER_ISA", isas[i], 1);
        if (device_create(&b.d, devices[i], PRECISION_F32, 1, &e) != 0)
            continue; /* not on this machine; test_operations says so */
        losses(&b);
        activations(&b);
        gelu_everywhere(&b);
        layer_norm(&b);
        optimizer(&b);
        attention(&b);
        bench_close(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_values)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
