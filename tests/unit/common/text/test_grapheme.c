/* SPDX-License-Identifier: Apache-2.0 */
/* Grapheme clusters: every line of UCD's GraphemeBreakTest.txt (tests/golden/text_graphemes.json). */
#include "tests/unit/common/text/text_test.h"

#include "common/text/grapheme.h"

static void test_break_test(void **state)
{
    (void)state;
    struct json *g = golden("text_graphemes.json");
    const struct json *rows = json_get(g, "rows");
    assert_int_equal(json_size(rows), 766);
    for (size_t i = 0; i < json_size(rows); i++) {
        struct grapheme_state s = {0};
        const struct json *clusters = json_at(rows, i);
        for (size_t k = 0; k < json_size(clusters); k++)
            for (size_t n = 0; n < json_size(json_at(clusters, k)); n++) {
                uint32_t c = (uint32_t)json_number(json_at(json_at(clusters, k), n));
                if (grapheme_starts(&s, grapheme_property(c)) != !n)
                    fail_msg("row %zu: before U+%04X: expected %s", i, c, n ? "no break" : "a break");
            }
    }
    json_destroy(&g);
}

static void test_properties(void **state)
{
    (void)state;
    assert_int_equal(grapheme_property('a'), GRAPHEME_OTHER);
    assert_int_equal(grapheme_property(0xAC00), GRAPHEME_LV);
    assert_int_equal(grapheme_property(0xAC01), GRAPHEME_LVT);
    assert_int_equal(grapheme_property(0xD7A3), GRAPHEME_LVT);
    assert_int_equal(grapheme_property(0x10FFFF), GRAPHEME_OTHER);
    assert_int_equal(grapheme_property(0xE0FFF) & GRAPHEME_CLASS, GRAPHEME_CONTROL);
    for (size_t i = 1; i < grapheme_range_count; i++)
        assert_true(grapheme_ranges[i].first > grapheme_ranges[i - 1].last &&
                    grapheme_ranges[i].last >= grapheme_ranges[i].first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_break_test),
        cmocka_unit_test(test_properties),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
