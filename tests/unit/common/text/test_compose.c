/* SPDX-License-Identifier: Apache-2.0 */
/* Composition of a row's text against Python: joiner.join(p for p in (" ".join(f.split()) for f in fields if f) if p). */
#include "tests/unit/common/text/text_test.h"

#include "common/text/compose.h"

static void as_python_joins(void **state)
{
    (void)state;
    struct json *g = golden("text_compose.json");
    const struct json *rows = json_get(g, "rows");
    assert_true(json_size(rows) > 100);
    for (size_t i = 0; i < json_size(rows); i++) {
        const struct json *fields = json_at(json_at(rows, i), 0);
        size_t count = json_size(fields), size;
        char **texts = allocate(count, sizeof *texts), *expected = from_hex(json_string(json_at(json_at(rows, i), 2)), &size);
        bool blank = true;
        for (size_t k = 0; k < count; k++) {
            const char *digits = json_string(json_at(fields, k));
            size_t length;
            texts[k] = digits ? from_hex(digits, &length) : NULL;
            blank = blank && text_is_blank(texts[k]);
        }
        struct buffer b = {0};
        buffer_text(&b, "before:");
        compose_text(&b, (const char *const *)texts, count, NULL, json_string(json_at(json_at(rows, i), 1)));
        if (strcmp(b.data + 7, expected))
            fail_msg("row %zu: expected \"%s\", found \"%s\"", i, expected, b.data + 7);
        assert_int_equal(blank, !size);
        for (size_t k = 0; k < count; k++)
            free(texts[k]);
        free(texts);
        free(expected);
        buffer_free(&b);
    }
    json_destroy(&g);
}

static void nothing_is_an_empty_text(void **state)
{
    (void)state;
    struct buffer b = {0};
    compose_text(&b, NULL, 0, NULL, ". ");
    assert_non_null(b.data);
    assert_string_equal(b.data, "");
    buffer_free(&b);
}

static void bytes_that_are_no_text_stay(void **state)
{
    (void)state;
    const char *const fields[] = {" \xff \xe2\x80 x\xc2", "\xc2\xa0"};
    struct buffer b = {0};
    compose_text(&b, fields, 2, NULL, ". ");
    assert_string_equal(b.data, "\xff \xe2\x80 x\xc2");
    assert_false(text_is_blank("\xff"));
    assert_true(text_is_blank(" \t\xc2\xa0"));
    buffer_free(&b);
}

/* W2: title, summary, and the first words of the text. */
static void fields_are_cut_behind_so_many_words(void **state)
{
    (void)state;
    const char *fields[] = {"a title of five words", " one two\u00a0 three four ", NULL, "rest"};
    const uint32_t words[] = {0, 2, 1, 9};
    struct buffer b = {0};
    compose_text(&b, fields, 4, words, " | ");
    assert_string_equal(b.data, "a title of five words | one two | rest");
    buffer_free(&b);
}

/* A field that is composed already is copied whole: what only looks so, at any place of the eight bytes that are looked at
 * together, is told from it. With a limit of words each is walked. */
static void what_is_composed_already_is_told(void **state)
{
    (void)state;
    static const char *const odd[] = {"  ", " ", "\t", " \t", "\n", "\x1c", "\x7f", "\u00a0", "\u00e9", " \u3000 ", "b c d e f"};
    for (size_t size = 0; size < 20; size++)
        for (size_t at = 0; at <= size; at++)
            for (size_t k = 0; k < sizeof odd / sizeof *odd; k++) {
                char text[64];
                snprintf(text, sizeof text, "%.*s%s%.*s", (int)at, "aaaaaaaaaaaaaaaaaaaa", odd[k], (int)(size - at),
                         "aaaaaaaaaaaaaaaaaaaa");
                const char *fields[] = {text, "end"};
                const uint32_t all[] = {1000, 1000};
                struct buffer expected = {0}, found = {0};
                compose_text(&expected, fields, 2, all, "; ");
                compose_text(&found, fields, 2, NULL, "; ");
                if (strcmp(found.data, expected.data) != 0)
                    fail_msg("\"%s\": expected \"%s\", found \"%s\"", text, expected.data, found.data);
                buffer_free(&expected);
                buffer_free(&found);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_composed_already_is_told),
        cmocka_unit_test(fields_are_cut_behind_so_many_words),
        cmocka_unit_test(as_python_joins),
        cmocka_unit_test(nothing_is_an_empty_text),
        cmocka_unit_test(bytes_that_are_no_text_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
