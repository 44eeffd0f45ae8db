/* SPDX-License-Identifier: Apache-2.0 */
/* Buffers, memory and arenas: bytes stay what they were while the memory moves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/arena.h"
#include "common/base/buffer.h"
#include "common/base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void test_buffer(void **state)
{
    (void)state;
    struct buffer b = {0};
    buffer_append(&b, NULL, 0);
    assert_string_equal(b.data, "");
    for (int i = 0; i < 1000; i++) {
        buffer_text(&b, "a");
        buffer_printf(&b, "%03d", i);
        buffer_append(&b, "\0z", 2);
    }
    assert_int_equal(b.size, 6000);
    for (int i = 0; i < 1000; i++) {
        char expected[8];
        snprintf(expected, sizeof expected, "a%03d", i);
        assert_memory_equal(b.data + i * 6, expected, 5);
        assert_int_equal(b.data[i * 6 + 5], 'z');
    }
    assert_int_equal(b.data[b.size], 0);
    buffer_clear(&b);
    assert_int_equal(b.size, 0);
    assert_string_equal(b.data, "");
    buffer_printf(&b, "%s", "");
    assert_string_equal(b.data, "");
    buffer_free(&b);
    buffer_free(&b);
    assert_null(b.data);
    buffer_clear(&b);
    buffer_printf(&b, "%s", ""); /* printed into nothing, it is a text too */
    assert_non_null(b.data);
    buffer_free(&b);
}

static void test_memory(void **state)
{
    (void)state;
    char *nothing = allocate(0, 8), *zeroed = allocate(100, 1);
    assert_non_null(nothing);
    for (int i = 0; i < 100; i++)
        assert_int_equal(zeroed[i], 0);
    free(nothing);
    free(zeroed);
    assert_null(duplicate(NULL));
    char *text = format_string("%d-%s", 5, "x"), *copy = duplicate(text);
    assert_string_equal(copy, "5-x");
    free(text);
    free(copy);
    size_t capacity = 0;
    int *items = NULL;
    for (int i = 0; i < 10000; i++) {
        items = grow(items, &capacity, (size_t)i + 1, sizeof *items);
        items[i] = i;
    }
    for (int i = 0; i < 10000; i++)
        assert_int_equal(items[i], i);
    assert_true(capacity >= 10000 && capacity <= 20000);
    free(items);
}

static void test_arena(void **state)
{
    (void)state;
    struct arena *a;
    arena_create(&a);
    enum { COUNT = 2000 };
    static char *texts[COUNT];
    char expected[3000];
    for (int i = 0; i < COUNT; i++) {
        memset(expected, 'a' + i % 26, sizeof expected);
        texts[i] = arena_string(a, expected, (size_t)(i * 37 % 3000));
    }
    char *large = allocate(3u << 20, 1);
    memset(large, 'L', 3u << 20);
    char *kept = arena_string(a, large, 3u << 20), *empty = arena_string(a, NULL, 0);
    assert_memory_equal(kept, large, 3u << 20);
    assert_int_equal(kept[3u << 20], 0);
    assert_string_equal(empty, "");
    for (int i = 0; i < COUNT; i++) {
        memset(expected, 'a' + i % 26, sizeof expected);
        assert_int_equal(strlen(texts[i]), i * 37 % 3000);
        assert_memory_equal(texts[i], expected, (size_t)(i * 37 % 3000));
    }
    free(large);
    arena_destroy(&a);
    assert_null(a);
    arena_destroy(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_buffer), cmocka_unit_test(test_memory),
                                       cmocka_unit_test(test_arena)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
