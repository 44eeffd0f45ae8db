/* SPDX-License-Identifier: Apache-2.0 */
/* data.repeats on rows whose repeats are known by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/buffer.h"
#include "common/base/file.h"
#include "coordinator/data/repeats.h"
#include "coordinator/data/row_facts.h"

#include <stdlib.h>
#include <string.h>

#define WORDS                                                                                                                    \
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen"

/* Groups and texts: rows 0, 2 and 5 are alike, 4 and 6 too; 3 is near 1. */
static const char *const rows[][2] = {
    {"a", "same words"},  {"b", "zero " WORDS}, {"c", "same words"},  {"d", "zero " WORDS " nineteen"},
    {"d", "other words"}, {"e", "same words"},  {"f", "other words"}, {"g", "alone"},
};
#define ROWS (sizeof rows / sizeof *rows)

static void apply(struct records *r, struct repeats *done, const char *mode)
{
    static char *text_a[] = {"text"};
    struct buffer b = {0};
    struct error e;
    struct near_duplicates near = {0};
    const char *path = "test_repeats.jsonl";
    const struct input in = {.label = "label", .group = "group", .text_a = {text_a, 1}, .joiner = " "};
    for (size_t i = 0; i < ROWS; i++)
        buffer_printf(&b, "{\"text\": \"%s\", \"group\": \"%s\", \"label\": %zu}\n", rows[i][1], rows[i][0], i % 2);
    if (file_write(path, b.data, b.size, &e) || records_read(r, &path, 1, &in, false, &e))
        fail_msg("%s", e.message);
    uint32_t *exact;
    if (exact_duplicates(&exact, r, &e) || near_duplicates_find(&near, r, exact, &e))
        fail_msg("%s", e.message);
    *done = repeats_apply(r, mode, &near);
    near_duplicates_free(&near);
    free(exact);
    buffer_free(&b);
}

static void expect_rows(const struct records *r, const char *lines, const char *groups)
{
    struct buffer line = {0}, group = {0};
    for (size_t i = 0; i < r->count; i++) {
        buffer_printf(&line, "%u", r->rows[i].line);
        buffer_text(&group, r->rows[i].group);
    }
    assert_string_equal(line.data, lines);
    assert_string_equal(group.data, groups);
    buffer_free(&line);
    buffer_free(&group);
}

static void kept_dropped_and_grouped(void **state)
{
    (void)state;
    struct records r;
    struct repeats done;
    apply(&r, &done, "keep");
    expect_rows(&r, "12345678", "abcddefg");
    assert_int_equal(done.dropped + done.joined, 0);
    records_free(&r);
    apply(&r, &done, "drop");
    expect_rows(&r, "1258", "abdg");
    assert_int_equal(done.dropped, 4);
    records_free(&r);
    /* a, c, e share a text; d's rows tie b (near) and f (exact) to it */
    apply(&r, &done, "group");
    expect_rows(&r, "12345678", "ababbabg");
    assert_int_equal(done.joined, 5);
    records_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(kept_dropped_and_grouped)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
