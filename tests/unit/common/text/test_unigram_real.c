/* SPDX-License-Identifier: Apache-2.0 */
/* The real tokenizer of multilingual-e5-small (XLM-R's 250,002 words) against `tokenizers` (tests/golden/text_e5.json, made by
 * tools/golden_unigram.py). Runs where MUSTER_E5 names a directory with its tokenizer.json. */
#include "tests/unit/common/text/text_test.h"

static void test_ids(void **state)
{
    (void)state;
    const char *directory = getenv("MUSTER_E5");
    char *path = directory ? path_join(directory, "tokenizer.json") : NULL;
    bool there = path && file_exists(path);
    free(path);
    if (!there) {
        print_message("skipped: MUSTER_E5 does not name the directory of multilingual-e5-small's tokenizer.json\n");
        skip();
    }
    struct tokenizer *t = open_directory(directory);
    struct json *g = golden("text_e5.json");
    const struct json *rows = json_get(g, "rows");
    assert_int_equal(tokenizer_size(t), 250002);
    assert_true(json_size(rows) > 100);
    for (size_t i = 0; i < json_size(rows); i++) {
        const char *text = json_string(json_at(json_at(rows, i), 0));
        char *what = format_string("row %zu (%.60s)", i, text);
        check_text(t, text, strlen(text), json_at(json_at(rows, i), 1), what);
        free(what);
    }
    json_destroy(&g);
    tokenizer_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_ids)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
