/* SPDX-License-Identifier: Apache-2.0 */
/* With rows_alone a linear map gives a row the same bits among any number of rows, at any place, on any number of threads; and
 * what the reference gives, but for rounding. */
#include "harness.h"

static const struct {
    size_t K, O;
} shapes[] = {{384, 384}, {384, 1536}, {1536, 384}, {768, 768},  {768, 3072}, {3072, 768}, {384, 2},
              {768, 141}, {64, 64},    {33, 5},     {384, 1152}, {1024, 256}, {312, 320}};
static const size_t counts[] = {1, 2, 5, 6, 7, 23, 24, 25, 47, 100, 167, 168, 169, 511};
static const int thread_counts[] = {1, 3, 4}; /* 3 share rows only, 4 columns too where rows are few */

enum { ROWS = 600 };

/* A map and its input, made once. */
struct map {
    size_t K, O;
    float *x, *w, *bias; /* (ROWS,K), (O,K), (O) */
};

static float *values(size_t count, float scale)
{
    static uint32_t random = 1;
    float *ret = allocate(count, sizeof *ret);
    for (size_t i = 0; i < count; i++) {
        random = random * 1664525u + 1013904223u;
        ret[i] = ((float)(random >> 8) / 8388608.0f - 1) * scale;
    }
    return ret;
}

static struct map map_of(size_t K, size_t O)
{
    return (struct map){K, O, values(ROWS * K, 1), values(O * K, 0.1f), values(O, 1)};
}

static void map_free(struct map *m)
{
    free(m->x);
    free(m->w);
    free(m->bias);
}

/* y (N,O) of rows from..from + N of x. */
static float *run(struct bench *b, const struct map *m, size_t from, size_t N)
{
    bench_clear(b);
    device_memory x = put_values(b, ACT, m->x + from * m->K, N * m->K), w = put_values(b, ACT, m->w, m->O * m->K),
                  bias = put_values(b, F32, m->bias, m->O), y = space(b, F32, N * m->O);
    float *ret = allocate(N * m->O, sizeof *ret);
    struct error e = {0};
    b->d->run->linear_forward(b->d, y, DEVICE_NOTHING, x, w, bias, ACTIVATION_GELU, N, m->K, m->O);
    b->d->run->download(b->d, ret, y, N * m->O * sizeof *ret);
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
        struct map m = map_of(K, O);
        struct bench b;
        bench_open(&b, "cpu", PRECISION_F32, 1);
        b.d->rows_alone = true;
        float *all = run(&b, &m, 0, ROWS);
        bench_close(&b);
        for (size_t t = 0; t < sizeof thread_counts / sizeof *thread_counts; t++) {
            int threads = thread_counts[t];
            bench_open(&b, "cpu", PRECISION_F32, threads);
            b.d->rows_alone = true;
            for (size_t n = 0; n < sizeof counts / sizeof *counts; n++) {
                size_t from = (n * 37) % (ROWS - counts[n]);
                float *some = run(&b, &m, from, counts[n]);
                same_bits(all, some, from, counts[n], K, O, threads);
                free(some);
            }
            bench_close(&b);
        }
        free(all);
        map_free(&m);
    }
}

static void near_the_reference(void **state)
{
    (void)state;
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        size_t K = shapes[s].K, O = shapes[s].O, N = 29;
        struct map m = map_of(K, O);
        struct bench fast, reference;
        bench_open(&fast, "cpu", PRECISION_F32, 2);
        bench_open(&reference, "cpu_reference", PRECISION_F32, 1);
        fast.d->rows_alone = true;
        float *a = run(&fast, &m, 3, N), *b = run(&reference, &m, 3, N);
        for (size_t i = 0; i < N * O; i++)
            if (!(fabsf(a[i] - b[i]) <= 1e-4f * (1 + fabsf(b[i]))))
                fail_msg("%zu inputs, %zu outputs: element %zu is %.9g, the reference has %.9g", K, O, i, (double)a[i],
                         (double)b[i]);
        free(a);
        free(b);
        bench_close(&fast);
        bench_close(&reference);
        map_free(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(rows_do_not_depend_on_rows), cmocka_unit_test(near_the_reference)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
