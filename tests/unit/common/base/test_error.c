/* SPDX-License-Identifier: Apache-2.0 */
/* Error texts: one line whatever ends up in them, never longer than their room, prefixed by places. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/error.h"

#include <errno.h>
#include <string.h>

static void test_texts(void **state)
{
    (void)state;
    struct error e = {0};
    assert_int_equal(error_set(&e, ERROR_DATA, "row %d: %s", 7, "bad\nline\x1b[31m\x7f caf\xc3\xa9"), -1);
    assert_int_equal(e.kind, ERROR_DATA);
    assert_string_equal(e.message, "row 7: bad?line?[31m? caf\xc3\xa9");
    assert_int_equal(error_prefix(&e, "pairs.jsonl:%d: ", 3), -1);
    assert_int_equal(e.kind, ERROR_DATA);
    assert_string_equal(e.message, "pairs.jsonl:3: row 7: bad?line?[31m? caf\xc3\xa9");
    assert_int_equal(error_errno(&e, ENOSPC, "%s: cannot be written", "f"), -1);
    assert_int_equal(e.kind, ERROR_FAILED);
    assert_string_equal(e.message, "f: cannot be written: No space left on device");
    assert_int_equal(error_set(&e, ERROR_USAGE, "again: %s", e.message), -1); /* its own text as an argument */
    assert_string_equal(e.message, "again: f: cannot be written: No space left on device");
}

static void test_nobody_listens(void **state)
{
    (void)state;
    assert_int_equal(error_set(NULL, ERROR_DATA, "x"), -1);
    assert_int_equal(error_errno(NULL, EIO, "x"), -1);
    assert_int_equal(error_prefix(NULL, "x"), -1);
}

static void test_long_texts(void **state)
{
    (void)state;
    struct error e = {0};
    char text[5000];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = 0;
    error_set(&e, ERROR_DATA, "%s", text);
    assert_int_equal(strlen(e.message), sizeof e.message - 1);
    error_prefix(&e, "place: ");
    assert_memory_equal(e.message, "place: xxx", 10);
    error_prefix(&e, "%s", text);
    assert_true(strlen(e.message) < sizeof e.message);
    error_errno(&e, ENOSPC, "%s", text);
    assert_non_null(strstr(e.message, "xxx: No space left on device"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_texts), cmocka_unit_test(test_nobody_listens),
                                       cmocka_unit_test(test_long_texts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
