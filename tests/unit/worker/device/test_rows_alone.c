/* SPDX-License-Identifier: Apache-2.0 */
/* With rows_alone a linear map gives a row the same bits among any number of rows, at any place, on any number of threads; and
 * what the reference gives, but for rounding. */
#include "harness.h"

static const struct {
    size_t K, O;
} shapes[] = {{384, 384},  {384, 1536}, {1536, 384}, {768, 768}, {768, 3072},
              {3072, 768}, {384, 2},    {768, 141},  {64, 64},   {33, 5}};
static const size_t counts[] = {1, 2, 5, 6, 7, 23, 24, 25, 47, 100, 167, 168, 169, 300, 511, 700};

/* y (N,O) of rows from..from + N of x. */
static float *map(struct bench *b, size_t from, size_t N, size_t K, size_t O)
{
    bench_clear(b);
    device_memory x = put_random(b, ACT, 1024 * K, 1), w = put_random(b, ACT, O * K, 0.1f), bias = put_random(b, F32, O, 1),
                  y = space(b, F32, N * O);
    float *ret = allocate(N * O, sizeof *ret);
    struct error e = {0};
    b->d->run->linear_forward(b->d, y, DEVICE_NOTHING, device_at(x, from * K * sizeof *ret), w, bias, ACTIVATION_GELU, N, K, O);
    b->d->run->download(b->d, ret, y, N * O * sizeof *ret);
    if (b->d->run->finish(b->d, &e) != 0)
        fail_msg("%s", e.message);
    return ret;
}

static void same_bits(const float *all, const float *some, size_t from, size_t N, size_t K, size_t O, int threads)
{
    for (size_t i = 0; i < N; i++)
        if (memcmp(all + (from + i) * O, some + i * O, O * sizeof *all) != 0)
            fail_msg("%zu inputs, %zu outputs, %d threads: row %zu of %zu from row %zu on has other bits than among all", K, O,
                     threads, i, N, from);
}

static void rows_do_not_depend_on_rows(void **state)
{
    (void)state;
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        size_t K = shapes[s].K, O = shapes[s].O;
        struct bench b;
        bench_open(&b, "cpu", PRECISION_F32, 1);
        b.d->rows_alone = true;
        float *all = map(&b, 0, 1024, K, O);
        bench_close(&b);
        for (int threads = 1; threads <= 3; threads++) {
            bench_open(&b, "cpu", PRECISION_F32, threads);
            b.d->rows_alone = true;
            for (size_t n = 0; n < sizeof counts / sizeof *counts; n++) {
                size_t from = (n * 37) % (1024 - counts[n]);
                float *some = map(&b, from, counts[n], K, O);
                same_bits(all, some, from, counts[n], K, O, threads);
                free(some);
            }
            bench_close(&b);
        }
        free(all);
    }
}

static void near_the_reference(void **state)
{
    (void)state;
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        size_t K = shapes[s].K, O = shapes[s].O, N = 29;
        struct bench fast, reference;
        bench_open(&fast, "cpu", PRECISION_F32, 2);
        bench_open(&reference, "cpu_reference", PRECISION_F32, 1);
        fast.d->rows_alone = true;
        float *a = map(&fast, 3, N, K, O), *b = map(&reference, 3, N, K, O);
        for (size_t i = 0; i < N * O; i++)
            if (!(fabsf(a[i] - b[i]) <= 1e-4f * (1 + fabsf(b[i]))))
                fail_msg("%zu inputs, %zu outputs: element %zu is %.9g, the reference has %.9g", K, O, i, (double)a[i],
                         (double)b[i]);
        free(a);
        free(b);
        bench_close(&fast);
        bench_close(&reference);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(rows_do_not_depend_on_rows), cmocka_unit_test(near_the_reference)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
