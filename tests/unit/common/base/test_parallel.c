/* SPDX-License-Identifier: Apache-2.0 */
/* Work on several threads: every block once, slots in order, and rows sorted by key as qsort does. */
#include "common/base/key_sort.h"
#include "common/base/memory.h"
#include "common/base/parallel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void count_visits(void *context, size_t begin, size_t end)
{
    atomic_uchar *visits = context;
    assert_true(begin < end);
    for (size_t i = begin; i < end; i++)
        visits[i]++;
}

static void every_block_once(void **state)
{
    (void)state;
    static const size_t counts[] = {0, 1, 7, 100, 10001};
    struct error e;
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        atomic_uchar *visits = allocate(counts[c], 1);
        assert_int_equal(parallel_blocks(counts[c], 7, count_visits, visits, &e), 0);
        for (size_t i = 0; i < counts[c]; i++)
            assert_int_equal(visits[i], 1);
        free(visits);
    }
}

struct squares {
    uint64_t next, end;
};

struct square {
    uint64_t number, result;
};

static bool take_number(void *context, void *slot)
{
    struct squares *s = context;
    ((struct square *)slot)->number = s->next;
    return s->next++ < s->end;
}

static void make_square(void *context, void *slot)
{
    struct square *q = slot;
    (void)context;
    for (volatile unsigned i = 0; i < q->number % 3 * 1000; i++)
        ;
    q->result = q->number * q->number;
}

static void slots_come_in_order(void **state)
{
    (void)state;
    static const int threads[] = {1, 2, 5};
    static const uint64_t ends[] = {0, 1, 5000};
    for (size_t t = 0; t < 3; t++)
        for (size_t n = 0; n < 3; n++) {
            struct squares s = {0, ends[n]};
            struct square slots[6];
            struct ordered *o;
            ordered_create(&o, &(struct ordered_work){take_number, make_square, &s, threads[t]}, slots, 6, sizeof *slots);
            const struct square *found;
            for (uint64_t i = 0; i < ends[n]; i++) {
                found = ordered_next(o);
                assert_non_null(found);
                assert_int_equal(found->number, i);
                assert_int_equal(found->result, i * i);
            }
            assert_null(ordered_next(o));
            assert_null(ordered_next(o));
            ordered_destroy(&o);
        }
}

static void a_reader_may_leave_early(void **state)
{
    (void)state;
    struct squares s = {0, 1000000};
    struct square slots[8];
    struct ordered *o;
    ordered_create(&o, &(struct ordered_work){take_number, make_square, &s, 4}, slots, 8, sizeof *slots);
    assert_non_null(ordered_next(o));
    ordered_destroy(&o);
    assert_null(o);
    assert_true(s.next < 1000000);
}

static int by_key(const void *a, const void *b)
{
    const struct key_row *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

static void check_order(struct key_row *entries, size_t count)
{
    struct error e;
    struct key_row *expected = allocate(count, sizeof *expected);
    memcpy(expected, entries, count * sizeof *entries);
    if (count)
        qsort(expected, count, sizeof *expected, by_key);
    assert_int_equal(key_rows_sort(entries, count, &e), 0);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(entries[i].key, expected[i].key);
        assert_int_equal(entries[i].row, expected[i].row);
    }
    free(expected);
}

/* Keys at random, few that repeat, all equal, and such as differ in their last byte alone. */
static void rows_are_sorted_by_key(void **state)
{
    (void)state;
    static const size_t counts[] = {0, 1, 2, 33, 1000, 100000};
    static const uint64_t masks[] = {UINT64_MAX, 0x700, 0, 0xff};
    uint64_t x = 88172645463325252u;
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++)
        for (size_t m = 0; m < sizeof masks / sizeof *masks; m++) {
            struct key_row *entries = allocate(counts[c], sizeof *entries);
            for (size_t i = 0; i < counts[c]; i++) {
                x ^= x << 13;
                x ^= x >> 7;
                x ^= x << 17;
                entries[i] = (struct key_row){x & masks[m], (uint32_t)(x >> 32)};
            }
            check_order(entries, counts[c]);
            free(entries);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_block_once), cmocka_unit_test(slots_come_in_order),
                                       cmocka_unit_test(a_reader_may_leave_early), cmocka_unit_test(rows_are_sorted_by_key)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
