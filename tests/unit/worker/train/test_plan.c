/* The plan and the schedule: every row once an epoch, the order of sums the same on any power of two of ranks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/memory.h"
#include "common/json/json.h"
#include "worker/train/deal.h"
#include "worker/train/plan.h"
#include "worker/train/schedule.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 103 };

static struct plan *make_plan(uint32_t batch, uint32_t micro_batch, uint64_t seed)
{
    uint32_t rows[ROWS];
    for (uint32_t i = 0; i < ROWS; i++)
        rows[i] = i * 3 + 1;
    struct error e = {0};
    struct plan *p = NULL;
    assert_int_equal(plan_create(&p, rows, ROWS, seed, batch, micro_batch, &e), 0);
    return p;
}

static void an_epoch_has_every_row_once(void **state)
{
    (void)state;
    struct plan *p = make_plan(8, 4, 42);
    assert_int_equal(plan_steps_per_epoch(p), 13);
    uint32_t first[3] = {0};
    for (uint32_t epoch = 1; epoch <= 2; epoch++) {
        int seen[ROWS] = {0};
        for (uint64_t s = 0; s < 13; s++) {
            uint32_t count;
            const uint32_t *rows = plan_step(p, epoch, s, &count);
            assert_int_equal(count, s == 12 ? 7 : 8);
            first[epoch] = s ? first[epoch] : rows[0];
            for (uint32_t i = 0; i < count; i++)
                seen[(rows[i] - 1) / 3]++;
        }
        for (int i = 0; i < ROWS; i++)
            assert_int_equal(seen[i], 1);
    }
    uint32_t count;
    assert_int_equal(plan_step(p, 1, 0, &count)[0], first[1]); /* going back gives the same */
    assert_int_not_equal(first[1], first[2]);
    plan_destroy(&p);
    p = make_plan(8, 4, 43);
    assert_int_not_equal(plan_step(p, 1, 0, &count)[0], first[1]);
    plan_destroy(&p);
    plan_destroy(&p);
}

/* Against tools/golden_train.py, which has Philox and the sort in NumPy. */
static void the_order_is_that_of_the_reference(void **state)
{
    (void)state;
    struct error e = {0};
    struct json *golden;
    assert_int_equal(json_read(&golden, TEST_GOLDEN "/train_plan.json", &e), 0);
    struct plan *p = make_plan(16, 16, (uint64_t)json_number(json_get(golden, "seed")));
    for (uint32_t epoch = 1; epoch <= 2; epoch++) {
        const struct json *order = json_at(json_get(golden, "orders"), epoch - 1);
        assert_int_equal(json_size(order), ROWS);
        for (size_t i = 0; i < ROWS; i++) {
            uint32_t count, found = plan_step(p, epoch, i / 16, &count)[i % 16];
            if (found != (uint32_t)json_number(json_at(order, i)))
                fail_msg("epoch %u, place %zu: expected row %g, found %u", epoch, i, json_number(json_at(order, i)), found);
        }
    }
    plan_destroy(&p);
    json_destroy(&golden);
}

/* The contract, written out as words: "(0+4)+..." */
static char *expected_tree(uint32_t low, uint32_t step, uint32_t power, uint32_t micro_batches)
{
    if (step >= power)
        return low < micro_batches ? format_string("%u", low) : NULL;
    char *a = expected_tree(low, step * 2, power, micro_batches), *b = expected_tree(low + step, step * 2, power, micro_batches);
    if (!a || !b)
        return a ? a : b;
    char *both = format_string("(%s+%s)", a, b);
    free(a);
    free(b);
    return both;
}

static char *joined(char *a, char *b)
{
    if (!a || !b)
        return a ? a : b;
    char *both = format_string("(%s+%s)", a, b);
    free(a);
    free(b);
    return both;
}

static char *sum_of_rank(uint32_t micro_batches, int rank, int size)
{
    struct plan_turns turns = plan_turns(micro_batches, rank, size);
    char *arena[32] = {0};
    uint32_t top = 0;
    for (uint32_t i = 0; i < turns.count; i++) {
        struct plan_turn t = plan_turn(micro_batches, rank, size, i);
        assert_int_equal(t.micro_batch % (uint32_t)size, rank);
        assert_true(t.arena < turns.arenas);
        assert_int_equal(t.arena, top);
        arena[top++] = format_string("%u", t.micro_batch);
        for (uint32_t a = 0; a < t.additions; a++, top--)
            arena[top - 2] = joined(arena[top - 2], arena[top - 1]);
    }
    assert_true(top <= 1);
    return arena[0];
}

/* As the communicator adds: highest bit of the rank first. */
static char *sum_of_ranks(uint32_t micro_batches, int low, int step, int size)
{
    if (step >= size)
        return sum_of_rank(micro_batches, low, size);
    char *a = sum_of_ranks(micro_batches, low, step * 2, size);
    return joined(a, sum_of_ranks(micro_batches, low + step, step * 2, size));
}

static void sums_have_one_order_on_any_number_of_ranks(void **state)
{
    (void)state;
    for (uint32_t m = 1; m <= 40; m++) {
        uint32_t power = 1;
        while (power < m)
            power *= 2;
        char *expected = expected_tree(0, 1, power, m);
        for (int size = 1; size <= 8; size *= 2) {
            char *found = sum_of_ranks(m, 0, 1, size);
            assert_string_equal(found, expected);
            free(found);
        }
        free(expected);
    }
}

static void few_arenas_are_needed(void **state)
{
    (void)state;
    static const uint32_t expected[][2] = {{1, 1}, {2, 2}, {3, 2}, {4, 3}, {8, 4}, {16, 5}, {9, 4}};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        uint32_t found = plan_turns(expected[i][0], 0, 1).arenas;
        if (found > expected[i][1])
            fail_msg("%u micro-batches: expected at most %u arenas, found %u", expected[i][0], expected[i][1], found);
    }
    assert_int_equal(plan_turns(4, 1, 4).arenas, 1);
    assert_int_equal(plan_turns(3, 3, 4).count, 0);
    assert_int_equal(plan_turns(3, 2, 4).count, 1);
}

static void impossible_plans_are_refused(void **state)
{
    (void)state;
    struct error e = {0};
    struct plan *p = NULL;
    uint32_t row = 0;
    assert_int_equal(plan_create(&p, &row, 0, 1, 8, 8, &e), -1);
    assert_int_equal(e.kind, ERROR_DATA);
    assert_int_equal(plan_create(&p, &row, 1, 1, 8, 3, &e), -1);
    assert_int_equal(e.kind, ERROR_USAGE);
    assert_string_equal(e.message, "train.batch 8 is not a multiple of train.micro_batch 3; change one of them");
    assert_int_equal(plan_create(&p, &row, 1, 1, 8, 0, &e), -1);
    assert_null(p);
}

static void rows_are_dealt_out_evenly(void **state)
{
    (void)state;
    struct dealt items[11];
    struct hand hands[3];
    uint32_t found[11];
    static const uint32_t lengths[11] = {10, 200, 30, 30, 180, 90, 100, 20, 60, 50, 40};
    for (uint32_t i = 0; i < 11; i++)
        items[i] = (struct dealt){100 + i, lengths[i]};
    deal(found, items, 11, 4, hands);
    static const uint32_t expected[11] = {101, 110, 102, 107, 104, 108, 103, 100, 106, 105, 109}; /* worked out by hand */
    for (int i = 0; i < 11; i++)
        if (found[i] != expected[i])
            fail_msg("place %d: expected row %u, found %u", i, expected[i], found[i]);
    assert_true(hands[0].tokens == 290 && hands[1].tokens == 280 && hands[2].tokens == 240);
}

static void the_schedule_is_that_of_transformers(void **state)
{
    (void)state;
    struct error e = {0};
    struct json *golden;
    assert_int_equal(json_read(&golden, TEST_GOLDEN "/train_plan.json", &e), 0);
    const struct json *cases = json_get(golden, "schedules");
    assert_true(json_size(cases) >= 3);
    for (size_t i = 0; i < json_size(cases); i++) {
        const struct json *one = json_at(cases, i), *rates = json_get(one, "rates");
        struct schedule s =
            schedule_create(json_number(json_get(one, "lr")), json_number(json_get(one, "warmup")), json_size(rates));
        for (size_t step = 0; step < json_size(rates); step++) {
            double expected = json_number(json_at(rates, step)), found = schedule_at(&s, step);
            if (fabs(found - expected) > 1e-15)
                fail_msg("warm-up %g, step %zu: expected %.17g, found %.17g", json_number(json_get(one, "warmup")), step,
                         expected, found);
        }
        assert_true(schedule_at(&s, json_size(rates)) == 0);
    }
    json_destroy(&golden);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_epoch_has_every_row_once),
        cmocka_unit_test(the_order_is_that_of_the_reference),
        cmocka_unit_test(sums_have_one_order_on_any_number_of_ranks),
        cmocka_unit_test(few_arenas_are_needed),
        cmocka_unit_test(impossible_plans_are_refused),
        cmocka_unit_test(rows_are_dealt_out_evenly),
        cmocka_unit_test(the_schedule_is_that_of_transformers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
