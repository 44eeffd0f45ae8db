/* SPDX-License-Identifier: Apache-2.0 */
/* Tables, arenas and near words. */
#include "common/base/arena.h"
#include "common/base/near.h"
#include "common/base/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

static void numbers_follow_first_appearance(void **state)
{
    (void)state;
    struct table *t;
    struct arena *a;
    table_create(&t);
    arena_create(&a);
    for (uint32_t round = 0; round < 2; round++)
        for (uint32_t i = 0; i < 20000; i++) {
            char key[16];
            int size = snprintf(key, sizeof key, "key %u", i);
            assert_int_equal(table_find(t, key), round ? i : TABLE_ABSENT);
            assert_int_equal(table_add(t, arena_string(a, key, (size_t)size)), i);
        }
    assert_int_equal(table_count(t), 20000);
    assert_string_equal(table_key(t, 12345), "key 12345");
    assert_int_equal(table_find(t, ""), TABLE_ABSENT);
    table_destroy(&t);
    table_destroy(&t);
    arena_destroy(&a);
    arena_destroy(&a);
}

static void arena_keeps_large_and_small_texts(void **state)
{
    (void)state;
    static char large[3 << 20];
    memset(large, 'x', sizeof large);
    struct arena *a;
    arena_create(&a);
    const char *first = arena_string(a, "one", 3), *big = arena_string(a, large, sizeof large), *last = arena_string(a, NULL, 0);
    assert_string_equal(first, "one");
    assert_memory_equal(big, large, sizeof large);
    assert_int_equal(big[sizeof large], 0);
    assert_string_equal(last, "");
    arena_destroy(&a);
}

static void the_nearest_word_is_offered_or_none(void **state)
{
    (void)state;
    static const char *const words[] = {"learning_rate", "lr", "epochs", "batch", "micro_batch"};
    char hint[64];
    assert_string_equal(near_word("epoch", words, 5), "epochs");
    assert_string_equal(near_word("Batch", words, 5), "batch");
    assert_string_equal(near_word("microbatch", words, 5), "micro_batch");
    assert_string_equal(near_word("bacth", words, 5), "batch"); /* two neighbours exchanged: one edit */
    assert_null(near_word("btach2", (const char *const[]){"cabth"}, 1));
    assert_null(near_word("temperature", words, 5));
    assert_string_equal(near_hint(hint, sizeof hint, "epocs", words, 5), "; did you mean 'epochs'?");
    assert_string_equal(near_hint(hint, sizeof hint, "zzzzzz", words, 5), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(numbers_follow_first_appearance),
                                       cmocka_unit_test(arena_keeps_large_and_small_texts),
                                       cmocka_unit_test(the_nearest_word_is_offered_or_none)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
