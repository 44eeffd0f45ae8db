/* SPDX-License-Identifier: Apache-2.0 */
/* The plan and the schedule: every row once an epoch, the order of sums the same on any power of two of ranks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/memory.h"
#include "common/base/philox.h"
#include "common/json/json.h"
#include "worker/train/balance.h"
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
    uint32_t count = plan_turn_count(micro_batches, rank, size), arenas = plan_arenas(micro_batches, rank, size);
    struct plan_turn *turns = allocate(count, sizeof *turns);
    plan_turns(turns, micro_batches, rank, size);
    char *arena[32] = {0};
    uint32_t top = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct plan_turn t = turns[i];
        assert_int_equal(t.micro_batch % (uint32_t)size, rank);
        assert_true(t.arena < arenas);
        assert_int_equal(t.arena, top);
        arena[top++] = format_string("%u", t.micro_batch);
        for (uint32_t a = 0; a < t.additions; a++, top--)
            arena[top - 2] = joined(arena[top - 2], arena[top - 1]);
    }
    assert_true(top <= 1);
    free(turns);
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

/* The deepest stack of the turns themselves, and one leaf more never needs less: so the number for a whole batch serves a short
 * last step too. */
static void arenas_are_as_many_as_the_turns_use(void **state)
{
    (void)state;
    static const uint32_t expected[][2] = {{1, 1}, {2, 2}, {3, 2}, {4, 3}, {8, 4}, {16, 5}, {9, 4}, {65536, 17}};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        assert_int_equal(plan_arenas(expected[i][0], 0, 1), expected[i][1]);
    enum { MOST = 600 };
    struct plan_turn turns[MOST];
    for (int size = 1; size <= 4; size++)
        for (uint32_t m = 1, before = 1; m <= MOST; m++) {
            uint32_t count = plan_turn_count(m, 0, size), used = 0;
            plan_turns(turns, m, 0, size);
            for (uint32_t i = 0; i < count; i++)
                used = turns[i].arena + 1 > used ? turns[i].arena + 1 : used;
            if (plan_arenas(m, 0, size) != used || used < before)
                fail_msg("%u micro-batches on %d ranks: %u arenas used, %u before, %u told", m, size, used, before,
                         plan_arenas(m, 0, size));
            before = used;
        }
    assert_int_equal(plan_arenas(4, 1, 4), 1);
    assert_int_equal(plan_turn_count(3, 3, 4), 0);
    assert_int_equal(plan_turn_count(3, 2, 4), 1);
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

static void micro_batches_are_balanced(void **state)
{
    (void)state;
    struct row_length items[11];
    struct assignment assignments[3];
    uint32_t found[11], order[3];
    static const uint32_t lengths[11] = {10, 200, 30, 30, 180, 90, 100, 20, 60, 50, 40};
    for (uint32_t i = 0; i < 11; i++)
        items[i] = (struct row_length){100 + i, lengths[i]};
    balance_micro_batches(found, items, 11, 4, assignments, order);
    static const uint32_t expected[11] = {101, 110, 102, 107, 104, 108, 103, 100, 106, 105, 109}; /* worked out by hand */
    for (int i = 0; i < 11; i++)
        if (found[i] != expected[i])
            fail_msg("place %d: expected row %u, found %u", i, expected[i], found[i]);
    assert_true(assignments[0].tokens == 290 && assignments[1].tokens == 280 && assignments[2].tokens == 240);
}

/* The definition, word for word: sorted by insertion, every micro-batch looked at for every row. */
static void balance_plainly(uint32_t *ret, struct row_length *items, uint32_t count, uint32_t micro_batch)
{
    enum { MOST = 128 };
    struct assignment all[MOST] = {{0}};
    uint32_t micro_batches = (count + micro_batch - 1) / micro_batch;
    assert_true(micro_batches <= MOST);
    for (uint32_t i = 1; i < count; i++)
        for (uint32_t k = i; k && (items[k].length > items[k - 1].length ||
                                   (items[k].length == items[k - 1].length && items[k].row < items[k - 1].row));
             k--) {
            struct row_length item = items[k];
            items[k] = items[k - 1];
            items[k - 1] = item;
        }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t best = micro_batches;
        for (uint32_t j = 0; j < micro_batches; j++) {
            uint32_t left = count - j * micro_batch, room = left < micro_batch ? left : micro_batch;
            if (all[j].rows < room && (best == micro_batches || all[j].tokens < all[best].tokens))
                best = j;
        }
        ret[best * micro_batch + all[best].rows++] = items[i].row;
        all[best].tokens += items[i].length;
    }
}

static void balance_is_what_it_says(void **state)
{
    (void)state;
    enum { MOST = 128 };
    struct row_length items[MOST], same[MOST];
    struct assignment assignments[MOST];
    uint32_t found[MOST], expected[MOST], order[MOST];
    for (uint32_t draw = 0; draw < 2000; draw++) {
        struct philox_block r = philox(draw, RANDOM_EXAMPLES, 0, 0, 0, 0);
        uint32_t count = 1 + r.word[0] % MOST, micro_batch = 1 + r.word[1] % 9, most = 1 + r.word[2] % 40;
        for (uint32_t i = 0; i < count; i++)
            same[i] = items[i] = (struct row_length){i * 37 % 131, 1 + philox(draw, RANDOM_EXAMPLES, i, 1, 0, 0).word[0] % most};
        balance_micro_batches(found, items, count, micro_batch, assignments, order);
        balance_plainly(expected, same, count, micro_batch);
        for (uint32_t i = 0; i < count; i++)
            if (found[i] != expected[i])
                fail_msg("draw %u: %u rows by %u, place %u: expected row %u, found %u", draw, count, micro_batch, i, expected[i],
                         found[i]);
    }
}

/* The largest batch that a job may ask for, one row a micro-batch. Work is counted, not timed: 65536 * 65536 would be 4e9. */
static void the_largest_step_is_planned_in_linear_work(void **state)
{
    (void)state;
    enum { ROWS_MOST = 65536, LOG = 16 };
    struct row_length *items = allocate(ROWS_MOST, sizeof *items);
    struct assignment *assignments = allocate(ROWS_MOST, sizeof *assignments);
    uint32_t *rows = allocate(ROWS_MOST, sizeof *rows), *order = allocate(ROWS_MOST, sizeof *order);
    struct plan_turn *turns = allocate(ROWS_MOST, sizeof *turns);
    for (uint32_t i = 0; i < ROWS_MOST; i++)
        items[i] = (struct row_length){i, i * 7919 % 509};
    uint64_t work = balance_micro_batches(rows, items, ROWS_MOST, 1, assignments, order);
    if (work > (uint64_t)4 * LOG * ROWS_MOST)
        fail_msg("%u rows: expected at most 4 n log n = %u comparisons, found %llu", ROWS_MOST, 4 * LOG * ROWS_MOST,
                 (unsigned long long)work);
    plan_turns(turns, ROWS_MOST, 0, 1);
    uint32_t additions = 0;
    for (uint32_t i = 0; i < ROWS_MOST; i++) {
        items[turns[i].micro_batch].length = UINT32_MAX;
        additions += turns[i].additions;
    }
    assert_int_equal(additions, ROWS_MOST - 1);
    for (uint32_t i = 0; i < ROWS_MOST; i++)
        assert_true(items[i].length == UINT32_MAX); /* every micro-batch has its turn */
    free(items);
    free(assignments);
    free(rows);
    free(order);
    free(turns);
}

static void the_schedule_is_that_of_transformers(void **state)
{
    (void)state;
    struct error e = {0};
    struct json *golden;
    assert_int_equal(json_read(&golden, TEST_GOLDEN "/train_losses.json", &e), 0);
    const struct json *cases = json_get(golden, "schedules");
    assert_int_equal(json_size(cases), 12);
    for (size_t i = 0; i < json_size(cases); i++) {
        const struct json *one = json_at(cases, i), *rates = json_get(one, "rates");
        const char *name = json_string(json_get(one, "kind"));
        enum schedule_kind kind = schedule_kind_find(name);
        assert_string_equal(schedule_names[kind], name);
        struct schedule s =
            schedule_create(kind, json_number(json_get(one, "lr")), json_number(json_get(one, "warmup")), json_size(rates));
        for (size_t step = 0; step < json_size(rates); step++) {
            double expected = json_number(json_at(rates, step)), found = schedule_at(&s, step);
            if (fabs(found - expected) > 1e-15)
                fail_msg("%s, warm-up %g, step %zu: expected %.17g, found %.17g", name, json_number(json_get(one, "warmup")),
                         step, expected, found);
        }
        assert_true(schedule_at(&s, json_size(rates)) == (kind == SCHEDULE_CONSTANT ? s.lr : 0));
    }
    json_destroy(&golden);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_epoch_has_every_row_once),
        cmocka_unit_test(the_order_is_that_of_the_reference),
        cmocka_unit_test(sums_have_one_order_on_any_number_of_ranks),
        cmocka_unit_test(arenas_are_as_many_as_the_turns_use),
        cmocka_unit_test(impossible_plans_are_refused),
        cmocka_unit_test(micro_batches_are_balanced),
        cmocka_unit_test(balance_is_what_it_says),
        cmocka_unit_test(the_largest_step_is_planned_in_linear_work),
        cmocka_unit_test(the_schedule_is_that_of_transformers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
