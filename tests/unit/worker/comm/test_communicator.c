/* SPDX-License-Identifier: Apache-2.0 */
/* The communicator alone and under mpirun: this program starts itself again as the ranks of a group, one scenario a time. A rank
 * that finds everything right prints "rank N right"; the parent counts these lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "tests/unit/worker/comm/ranks.h"
#include "worker/comm/communicator.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *self_path;

/* ---- the ranks ---- */

/* The order contract of plan.h, written out: ranks whose low bits are `low` (below `step`), the next bit 0 plus the next bit 1.
 */
static float tree(int low, int step, int size, size_t i)
{
    if (step >= size)
        return sample(low, i);
    return tree(low, step * 2, size, i) + tree(low + step, step * 2, size, i);
}

static float expected_sum(int size, size_t i)
{
    return tree(0, 1, size, i);
}

/* A host device's memory. */
static device_memory on_device(const float *data)
{
    return (device_memory){(uintptr_t)data};
}

static int order(struct communicator *c, struct error *e)
{
    static const size_t counts[] = {0, 1, 2, 3, 5, 17, 1000, 4097, 3000001};
    for (size_t k = 0; k < sizeof counts / sizeof *counts; k++) {
        size_t count = counts[k];
        float *data = allocate(count, sizeof *data);
        for (size_t i = 0; i < count; i++)
            data[i] = sample(c->rank, i);
        REQUIRE(!c->run->all_reduce(c, on_device(data), count, e) && !c->run->join(c, e), "%s", e->message);
        for (size_t i = 0; i < count; i++) {
            float expected = expected_sum(c->size, i);
            REQUIRE(!memcmp(&expected, &data[i], sizeof expected), "sum of %zu at %zu: expected %.9g, found %.9g", count, i,
                    (double)expected, (double)data[i]);
        }
        free(data);
    }
    return 0;
}

static double sample_double(int rank, size_t i)
{
    return (double)sample(rank, i) / 3.0;
}

static double tree_of_doubles(int low, int step, int size, size_t i)
{
    if (step >= size)
        return sample_double(low, i);
    return tree_of_doubles(low, step * 2, size, i) + tree_of_doubles(low + step, step * 2, size, i);
}

static int doubles(struct communicator *c, struct error *e)
{
    enum { COUNT = 500 };
    double d[COUNT];
    for (size_t i = 0; i < COUNT; i++)
        d[i] = sample_double(c->rank, i);
    d[7] = c->rank == 1 ? NAN : 1;
    REQUIRE(!c->run->all_reduce_doubles(c, d, COUNT, e), "%s", e->message);
    for (size_t i = 0; i < COUNT; i++) {
        double expected = tree_of_doubles(0, 1, c->size, i);
        REQUIRE(i == 7 ? isnan(d[i]) : d[i] == expected, "at %zu: expected %.17g, found %.17g", i, expected, d[i]);
    }
    return 0;
}

/* Whole numbers have exact sums in any order: also where the ranks are no power of two, with many buckets under way and progress
 * between. */
static int exact(struct communicator *c, struct error *e)
{
    enum { BUCKETS = 24 };
    static const size_t sizes[BUCKETS] = {7, 0, 1, 2, 100003, 3, 2500000, 12, 1, 1, 64, 1048576, 1048577, 5, 9, 1000};
    float *bucket[BUCKETS];
    for (int round = 0; round < 3; round++) {
        for (int b = 0; b < BUCKETS; b++) {
            bucket[b] = allocate(sizes[b], sizeof **bucket);
            for (size_t i = 0; i < sizes[b]; i++)
                bucket[b][i] = (float)((int)(i % 1013) * (c->rank + 1) + b + round);
            REQUIRE(!c->run->all_reduce(c, on_device(bucket[b]), sizes[b], e) && !c->run->watch(c, e), "%s", e->message);
        }
        double sum = c->rank + 1;
        REQUIRE(!c->run->all_reduce_doubles(c, &sum, 1, e), "%s", e->message); /* in between: must not block on the buckets */
        int n = c->size, ranks = n * (n + 1) / 2;
        REQUIRE(sum == ranks, "expected %d, found %g", ranks, sum);
        REQUIRE(!c->run->join(c, e), "%s", e->message);
        for (int b = 0; b < BUCKETS; b++) {
            for (size_t i = 0; i < sizes[b]; i++) {
                float expected = (float)((int)(i % 1013) * ranks + n * (b + round));
                REQUIRE(bucket[b][i] == expected, "bucket %d at %zu: expected %g, found %g", b, i, (double)expected,
                        (double)bucket[b][i]);
            }
            free(bucket[b]);
        }
    }
    return 0;
}

static int not_a_number(struct communicator *c, struct error *e)
{
    float data[101];
    for (int i = 0; i < 101; i++)
        data[i] = c->rank == 1 && i == 40 ? NAN : c->rank == 0 && i == 77 ? INFINITY : 1;
    REQUIRE(!c->run->all_reduce(c, on_device(data), 101, e) && !c->run->join(c, e), "%s", e->message);
    for (int i = 0; i < 101; i++) {
        bool right = i == 40 ? isnan(data[i]) : i == 77 ? isinf(data[i]) : data[i] == (float)c->size;
        REQUIRE(right, "at %d: %g", i, (double)data[i]);
    }
    return 0;
}

static int words(struct communicator *c, struct error *e)
{
    char text[70000];
    for (int root = 0; root < c->size; root++) {
        memset(text, c->rank == root ? 'a' + root : 0, sizeof text);
        REQUIRE(!c->run->broadcast(c, text, sizeof text, root, e), "%s", e->message);
        for (size_t i = 0; i < sizeof text; i++)
            REQUIRE(text[i] == 'a' + root, "broadcast from %d at %zu: %d", root, i, text[i]);
    }
    size_t mine = (size_t)c->rank * 30011; /* rank 0 has nothing to send */
    char *from = allocate(mine, 1);
    memset(from, 'A' + c->rank, mine);
    void *into[16] = {0};
    size_t sizes[16] = {0};
    for (int r = 0; r < c->size && c->rank == 0; r++) {
        sizes[r] = (size_t)r * 30011;
        into[r] = allocate(sizes[r], 1);
    }
    REQUIRE(!c->run->gather(c, from, mine, c->rank ? NULL : into, c->rank ? NULL : sizes, e), "%s", e->message);
    for (int r = 0; r < c->size && c->rank == 0; r++) {
        for (size_t i = 0; i < sizes[r]; i++)
            REQUIRE(((char *)into[r])[i] == 'A' + r, "gather from %d at %zu", r, i);
        free(into[r]);
    }
    free(from);
    REQUIRE(!c->run->barrier(c, e), "%s", e->message);
    return 0;
}

/* Rank 1 is away for longer than the timeout: rank 0 must say so, in time, and every later call must fail with the same words. */
static int late(struct communicator *c, struct error *e)
{
    static float data[1000];
    if (c->rank == 1) {
        clock_sleep(6);
        return 0;
    }
    if (c->rank > 1)
        return 0;
    double start = clock_seconds();
    REQUIRE(!c->run->all_reduce(c, on_device(data), 1000, e), "%s", e->message);
    REQUIRE(c->run->join(c, e), "nobody answered, and yet it went well");
    double took = clock_seconds() - start;
    REQUIRE(took > 0.9 && took < 4, "expected about 1 s, took %g", took);
    REQUIRE(e->kind == ERROR_FAILED && strstr(e->message, "all_reduce: rank 0 (") && strstr(e->message, "from rank 1 ("),
            "words: %s", e->message);
    struct error again = {0};
    REQUIRE(c->run->barrier(c, &again) && !strcmp(again.message, e->message), "then: %s", again.message);
    return 0;
}

static int late_at_barrier(struct communicator *c, struct error *e)
{
    if (c->rank == 1)
        clock_sleep(6);
    if (c->rank)
        return 0;
    REQUIRE(c->run->barrier(c, e) && strstr(e->message, "barrier: rank 0 (") && strstr(e->message, "from rank 1 ("), "words: %s",
            e->message);
    return 0;
}

static const struct {
    const char *name;
    int (*run)(struct communicator *c, struct error *e);
    double timeout;
} scenarios[] = {{"order", order, 60}, {"doubles", doubles, 60}, {"exact", exact, 60},           {"nan", not_a_number, 60},
                 {"words", words, 60}, {"late", late, 1},        {"barrier", late_at_barrier, 1}};

static int be_a_rank(const char *name)
{
    struct error e = {0};
    struct communicator *c;
    struct device *d;
    size_t i = 0;
    while (strcmp(name, scenarios[i].name))
        i++;
    if (device_create(&d, "cpu_reference", PRECISION_F32, 1, &e) || communicator_create(&c, "mpi", 0, scenarios[i].timeout, &e) ||
        c->run->attach(c, d, &e)) {
        printf("%s\n", e.message);
        return 1;
    }
    int result = scenarios[i].run(c, &e);
    if (!result)
        printf("rank %d right\n", c->rank);
    fflush(stdout);
    c->run->destroy(c);
    d->run->destroy(d);
    return result ? 1 : 0;
}

/* ---- the parent ---- */

static void run_ranks(const char *scenario, int ranks, int expected)
{
    char *command = format_string("mpirun --oversubscribe --bind-to none -np %d '%s' %s 2>&1", ranks, self_path, scenario);
    FILE *output = popen(command, "r");
    assert_non_null(output);
    char line[4096];
    int right = 0;
    char all[1 << 15] = "";
    while (fgets(line, sizeof line, output)) {
        right += strstr(line, " right\n") != NULL;
        if (strlen(all) + strlen(line) < sizeof all)
            strcat(all, line);
    }
    pclose(output);
    if (right != expected)
        fail_msg("%s: expected %d ranks to be right, found %d:\n%s", command, expected, right, all);
    free(command);
}

static void sums_have_the_order_of_the_plan(void **state)
{
    (void)state;
    run_ranks("order", 1, 1);
    run_ranks("order", 2, 2);
    run_ranks("order", 4, 4);
    run_ranks("order", 8, 8);
    run_ranks("doubles", 2, 2);
    run_ranks("doubles", 4, 4);
}

static void sums_are_right_on_any_number_of_ranks(void **state)
{
    (void)state;
    run_ranks("exact", 2, 2);
    run_ranks("exact", 3, 3);
    run_ranks("exact", 4, 4);
    run_ranks("exact", 6, 6);
}

static void nan_and_infinity_stay_where_they_are(void **state)
{
    (void)state;
    run_ranks("nan", 2, 2);
    run_ranks("nan", 3, 3);
    run_ranks("nan", 4, 4);
}

static void broadcast_and_gather(void **state)
{
    (void)state;
    run_ranks("words", 1, 1);
    run_ranks("words", 3, 3);
    run_ranks("words", 4, 4);
}

static void a_late_rank_is_named_in_time(void **state)
{
    (void)state;
    run_ranks("late", 2, 1); /* rank 1 finds the group ended */
    run_ranks("barrier", 2, 1);
}

static void a_group_of_one(void **state)
{
    (void)state;
    struct error e = {0};
    struct communicator *c;
    assert_int_equal(communicator_create(&c, "self", 1, 1, &e), 0);
    float data[2] = {1.5f, -2};
    double d = 4;
    char into[4] = "";
    assert_int_equal(c->size, 1);
    assert_int_equal(c->run->all_reduce(c, on_device(data), 2, &e), 0);
    assert_int_equal(c->run->join(c, &e), 0);
    assert_int_equal(c->run->all_reduce_doubles(c, &d, 1, &e), 0);
    assert_int_equal(c->run->gather(c, "abc", 4, (void *[]){into}, (size_t[]){4}, &e), 0);
    assert_true(data[0] == 1.5f && data[1] == -2 && d == 4);
    assert_string_equal(into, "abc");
    c->run->destroy(c);
}

static void wrong_names_are_refused(void **state)
{
    (void)state;
    struct error e = {0};
    struct communicator *c = NULL;
    assert_int_equal(communicator_create(&c, "gloo", 1, 1, &e), -1);
    assert_int_equal(e.kind, ERROR_USAGE);
    assert_string_equal(e.message, "communicator \"gloo\" is not known; use self, mpi or nccl");
    assert_int_equal(communicator_create(&c, "self", 1, 0, &e), -1);
    assert_int_equal(e.kind, ERROR_USAGE);
    assert_null(c);
}

int main(int count, char **arguments)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (count > 1)
        return be_a_rank(arguments[1]);
    char path[4096];
    ssize_t size = readlink("/proc/self/exe", path, sizeof path - 1);
    path[size > 0 ? size : 0] = 0;
    self_path = path;
    setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
    setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_group_of_one),
        cmocka_unit_test(wrong_names_are_refused),
        cmocka_unit_test(sums_have_the_order_of_the_plan),
        cmocka_unit_test(sums_are_right_on_any_number_of_ranks),
        cmocka_unit_test(nan_and_infinity_stay_where_they_are),
        cmocka_unit_test(broadcast_and_gather),
        cmocka_unit_test(a_late_rank_is_named_in_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
