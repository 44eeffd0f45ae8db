/* SPDX-License-Identifier: Apache-2.0 */
/* JSON Lines: rows and their line numbers, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/buffer.h"
#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/format/jsonl.h"

#include <stdio.h>
#include <string.h>

#define PATH "test_jsonl.jsonl"

static struct jsonl *open_text(const char *text)
{
    struct error e;
    struct jsonl *f;
    assert_int_equal(file_write(PATH, text, strlen(text), &e), 0);
    if (jsonl_open(&f, PATH, NULL, &e))
        fail_msg("%s", e.message);
    return f;
}

static void test_rows(void **state)
{
    (void)state;
    struct error e;
    const struct json *row;
    size_t line;
    struct jsonl *f = open_text("\xef\xbb\xbf{\"a\": 1}\r\n\n   \t\r\n{\"a\": 4, \"x\": NaN}\n{\"a\": 5}");
    const size_t expected[] = {1, 4, 5};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(jsonl_next(f, &row, &line, &e), 1);
        assert_int_equal(line, expected[i]);
        assert_int_equal(json_number(json_get(row, "a")), expected[i]);
    }
    assert_int_equal(jsonl_next(f, &row, &line, &e), 0);
    assert_int_equal(jsonl_next(f, &row, &line, &e), 0);
    jsonl_close(&f);
    assert_null(f);
    jsonl_close(&f);
}

static void test_bad_lines(void **state)
{
    (void)state;
    static const char *const words[] = {PATH ":1:6: a colon is missing", PATH ":2:1: a row is a list; an object is expected",
                                        PATH ":3:8: not valid UTF-8", PATH ":4:10: text after the end",
                                        PATH ":6:7: the string that starts here is never closed"};
    struct error e;
    const struct json *row;
    size_t line = 0;
    struct jsonl *f =
        open_text("{\"a\" 1}\n[1, 2]\n{\"a\": \"\xc3\x28\"}\n{\"a\": 1} {\"b\": 2}\n{\"ok\": 1}\n{\"a\": \"cut off");
    for (int i = 0; i < 4; i++) {
        assert_int_equal(jsonl_next(f, &row, &line, &e), -1);
        if (strncmp(e.message, words[i], strlen(words[i])))
            fail_msg("expected \"%s\", found \"%s\"", words[i], e.message);
        assert_int_equal(e.kind, ERROR_DATA);
    }
    assert_int_equal(jsonl_next(f, &row, &line, &e), 1); /* goes on behind bad lines */
    assert_int_equal(line, 5);
    assert_int_equal(jsonl_next(f, &row, &line, &e), -1);
    if (strncmp(e.message, words[4], strlen(words[4])))
        fail_msg("expected \"%s\", found \"%s\"", words[4], e.message);
    assert_int_equal(jsonl_next(f, &row, &line, &e), 0);
    jsonl_close(&f);
}

static void refused(const char *path, const char *words)
{
    struct error e = {0};
    struct jsonl *f = NULL;
    assert_int_equal(jsonl_open(&f, path, NULL, &e), -1);
    assert_null(f);
    assert_int_equal(e.kind, ERROR_DATA);
    if (!strstr(e.message, words))
        fail_msg("expected \"%s\", found \"%s\"", words, e.message);
}

static void test_no_rows(void **state)
{
    (void)state;
    assert_int_equal(file_write(PATH, "", 0, NULL), 0);
    refused(PATH, "is empty");
    assert_int_equal(file_write(PATH, "\xef\xbb\xbf\r\n \n\n", 8, NULL), 0);
    refused(PATH, "only blank lines");
    remove(PATH);
    refused(PATH, "cannot be read");
    refused(".", "a directory, not a file");
}

/* More rows than fit into the blocks that are parsed ahead: in order, each with its line, bad ones in their place. */
static void test_many_blocks(void **state)
{
    (void)state;
    enum { ROWS = 40000 };
    struct buffer text = {0};
    struct error e;
    const struct json *row;
    size_t line, bad = 0;
    for (int i = 1; i <= ROWS; i++)
        buffer_printf(&text,
                      i % 9973 ? "{\"line\": %d, \"text\": \"sixty-four bytes of text, so that rows fill many blocks\"}\n"
                               : "{\"line\": %d\n",
                      i);
    for (size_t read = ROWS; read > 0; read = read == ROWS ? 5000 : 0) { /* whole, and left in the middle */
        struct jsonl *f = open_text(text.data);
        for (size_t i = 1; i <= read; i++) {
            int more = jsonl_next(f, &row, &line, &e);
            assert_int_equal(more, i % 9973 ? 1 : -1);
            assert_int_equal(line, i);
            if (more == 1)
                assert_int_equal(json_number(json_get(row, "line")), i);
            bad += more == -1;
        }
        if (read == ROWS)
            assert_int_equal(jsonl_next(f, &row, &line, &e), 0);
        jsonl_close(&f);
    }
    assert_int_equal(bad, 4);
    buffer_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_many_blocks), cmocka_unit_test(test_rows),
                                       cmocka_unit_test(test_bad_lines), cmocka_unit_test(test_no_rows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
