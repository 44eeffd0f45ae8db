/* SPDX-License-Identifier: Apache-2.0 */
/* Linear maps on tiles, whose plain C stands in for AMX on every machine: the reference's values but for rounding, the same bits
 * on any number of threads, and, where the machine has AMX, from its instructions. */
#include "harness.h"

/* Tails in every direction; more columns than a panel has, rows for many tasks, few rows for many threads. */
static const struct {
    size_t N, K, O;
} shapes[] = {{1, 32, 32},  {1, 31, 33},   {5, 1, 1},     {33, 40, 70},  {16, 96, 257},
              {64, 64, 64}, {300, 65, 47}, {2, 33, 3100}, {40, 6200, 70}};

static void run_case(struct bench *b, size_t N, size_t K, size_t O)
{
    const struct device_operations *run = b->d->run;
    struct error e = {0};
    device_memory x = put_random(b, ACT, N * K, 1), w = put_random(b, ACT, O * K, 0.1f), bias = put_random(b, F32, O, 1);
    device_memory y = space(b, ACT, N * O), dy = put_random(b, ACT, N * O, 1), dx = space(b, ACT, N * K),
                  sum = put_random(b, ACT, N * K, 1);
    device_memory dw = space(b, F32, O * K), dbias = space(b, F32, O);
    run->linear_forward(b->d, y, y, x, w, bias, ACTIVATION_NONE, N, K, O);
    record(b, "y", ACT, y, N * O);
    run->linear_backward(b->d, dx, dw, dbias, dy, x, w, 0, N, K, O);
    record(b, "dx", ACT, dx, N * K);
    record(b, "dw", F32, dw, O * K);
    record(b, "dbias", F32, dbias, O);
    run->linear_backward(b->d, sum, DEVICE_NOTHING, DEVICE_NOTHING, dy, x, w, 1, N, K, O);
    record(b, "dx +=", ACT, sum, N * K);
    assert_int_equal(run->finish(b->d, &e), 0);
}

static void open_isa(struct bench *b, const char *isa, int threads)
{
    setenv("MUSTER_ISA", isa, 1);
    bench_open(b, "cpu", PRECISION_BF16, threads);
    setenv("MUSTER_ISA", "", 1);
}

static bool machine_has(const char *isa)
{
    struct device *d;
    struct error e = {0};
    setenv("MUSTER_ISA", isa, 1);
    bool ret = device_create(&d, "cpu", PRECISION_BF16, 1, &e) == 0;
    setenv("MUSTER_ISA", "", 1);
    if (ret)
        d->run->destroy(d);
    return ret;
}

static void test_linear(void **state)
{
    (void)state;
    struct bench expected, one, more, real;
    bool has_amx = machine_has("amx");
    print_message(has_amx ? "AMX against its plain C\n" : "not on this machine: AMX; its plain C alone\n");
    bench_open(&expected, "cpu_reference", PRECISION_BF16, 1);
    open_isa(&one, "amx_in_c", 1);
    open_isa(&more, "amx_in_c", 5);
    if (has_amx)
        open_isa(&real, "amx", 3);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        char what[64];
        snprintf(what, sizeof what, "N %zu, K %zu, O %zu", shapes[i].N, shapes[i].K, shapes[i].O);
        run_case(&expected, shapes[i].N, shapes[i].K, shapes[i].O);
        run_case(&one, shapes[i].N, shapes[i].K, shapes[i].O);
        run_case(&more, shapes[i].N, shapes[i].K, shapes[i].O);
        compare("amx_in_c", what, &expected, &one, (const double[]){8e-3, 1.2e-2});
        assert_same_bits(what, &one, &more);
        if (has_amx) {
            run_case(&real, shapes[i].N, shapes[i].K, shapes[i].O);
            assert_same_bits(what, &one, &real);
            bench_clear(&real);
        }
        bench_clear(&expected);
        bench_clear(&one);
        bench_clear(&more);
    }
    bench_close(&expected);
    bench_close(&one);
    bench_close(&more);
    if (has_amx)
        bench_close(&real);
}

/* A row's bits do not depend on what else is in the batch: the server answers from one row as from many. */
static void test_rows_alone(void **state)
{
    (void)state;
    enum { N = 70, K = 96, O = 130 };
    struct bench b;
    float all[N * O], some[N * O];
    open_isa(&b, "amx_in_c", 2);
    const struct device_operations *run = b.d->run;
    struct error e = {0};
    device_memory x = put_random(&b, ACT, N * K, 1), w = put_random(&b, ACT, O * K, 0.1f), y = space(&b, ACT, N * O),
                  wide = space(&b, F32, N * O);
    run->linear_forward(b.d, y, y, x, w, DEVICE_NOTHING, ACTIVATION_NONE, N, K, O);
    run->widen_activation(b.d, wide, y, N * O);
    run->download(b.d, all, wide, sizeof all);
    for (size_t rows = 1; rows < N; rows += 13) {
        run->linear_forward(b.d, y, y, x, w, DEVICE_NOTHING, ACTIVATION_NONE, rows, K, O);
        run->widen_activation(b.d, wide, y, rows * O);
        run->download(b.d, some, wide, rows * O * sizeof *some);
        assert_memory_equal(all, some, rows * O * sizeof *some);
    }
    assert_int_equal(run->finish(b.d, &e), 0);
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_linear), cmocka_unit_test(test_rows_alone)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
