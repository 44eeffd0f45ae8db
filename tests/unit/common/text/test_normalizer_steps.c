/* SPDX-License-Identifier: Apache-2.0 */
/* Every kind of normaliser against `tokenizers` (tests/golden/text_normalizers.json, made by tools/golden_unigram.py), and what
 * is refused. */
#include "tests/unit/common/text/text_test.h"

#include "common/text/pipeline.h"
#include "common/text/precompiled.h"

static struct vocabulary one_word(void)
{
    static const struct vocabulary_entry entry = {"x", 0};
    struct vocabulary v;
    vocabulary_build(&v, &entry, 1, NULL);
    return v;
}

static struct json *tokenizer_json(const struct json *normalizer)
{
    struct json *root = json_object(), *model = json_set(root, "model", json_object());
    json_set_string(model, "type", "WordLevel");
    json_set_string(model, "unk_token", "x");
    json_set_number(json_set(model, "vocab", json_object()), "x", 0);
    json_set(root, "normalizer", json_copy(normalizer));
    return root;
}

static void check_kind(const struct json *kind, const struct json *texts)
{
    struct error e = {0};
    struct json *root = tokenizer_json(json_get(kind, "normalizer"));
    struct vocabulary v = one_word();
    struct pipeline_source source = {root, "tokenizer.json", &v};
    struct pipeline *p;
    char *name = json_print(json_get(kind, "normalizer"), false);
    if (pipeline_read(&p, &source, &e))
        fail_msg("%s", e.message);
    struct workspace *w = pipeline_acquire(p);
    for (size_t i = 0; i < json_size(texts); i++) {
        const char *text = json_string(json_at(texts, i)), *result = json_string(json_at(json_get(kind, "results"), i));
        result = result ? result : text;
        struct piece found = pipeline_normalize(p, w, text, strlen(text), true);
        if (found.size != strlen(result) || memcmp(found.text ? found.text : "", result, found.size) != 0)
            fail_msg("%.120s, text %zu (%s): expected %s, found %.*s", name, i, text, result, (int)found.size, found.text);
    }
    pipeline_release(p, w);
    pipeline_destroy(&p);
    vocabulary_free(&v);
    json_destroy(&root);
    free(name);
}

static void test_kinds(void **state)
{
    (void)state;
    struct json *g = golden("text_normalizers.json");
    const struct json *kinds = json_get(g, "kinds"), *texts = json_get(json_at(kinds, 0), "texts");
    assert_true(json_size(texts) > 50 && json_size(kinds) > 20);
    for (size_t i = 1; i < json_size(kinds); i++)
        check_kind(json_at(kinds, i), texts);
    json_destroy(&g);
}

static void check_refused(const char *normalizer, const char *words)
{
    struct error e = {0};
    struct json *j;
    struct vocabulary v = one_word();
    struct pipeline *p;
    if (json_parse(&j, normalizer, strlen(normalizer), "test", &e))
        fail_msg("%s", e.message);
    struct json *root = tokenizer_json(j);
    struct pipeline_source source = {root, "tokenizer.json", &v};
    assert_int_equal(pipeline_read(&p, &source, &e), -1);
    if (!strstr(e.message, words))
        fail_msg("%s: expected \"%s\", found \"%s\"", normalizer, words, e.message);
    vocabulary_free(&v);
    json_destroy(&root);
    json_destroy(&j);
}

static void test_refused(void **state)
{
    static const char *const patterns[] = {"^ +", "a*",     "(ab)+", "a.c", "[a-z]+", "\\\\d",    "a+?", " ++",   "x{0,}",
                                           "",    "[^ab]+", "ab+c",  "a|",  "[ab",    "\\\\p{L}", "a$",  "a{3,2}"};
    (void)state;
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        char *j = format_string("{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"%s\"},\"content\":\"\"}", patterns[i]);
        check_refused(j, "not supported");
        free(j);
    }
    check_refused("{\"type\":\"ByteShuffle\"}", "ByteShuffle");
    check_refused("{\"type\":\"Replace\",\"pattern\":{\"String\":\"\"},\"content\":\"\"}", "not supported");
    check_refused("{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"}}", "content");
    check_refused("{\"type\":\"Strip\",\"strip_left\":true}", "strip_right");
    check_refused("{\"type\":\"Prepend\"}", "prepend");
    check_refused("{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"a-b\"}", "base64");
    check_refused("{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"////fwAA\"}", "cut or broken");
    check_refused("{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"\"}", "cut or broken");
}

/* A map whose single unit is a key that leads to `value`, with the replacements "a" NUL U+00E9 NUL. */
static void check_map(uint32_t value, bool accepted)
{
    uint32_t units[256] = {1u << 8 | 1u << 10}; /* at the root: a value, the children 1 away */
    struct error e = {0};
    struct precompiled *p = NULL;
    struct buffer map = {0};
    uint32_t size = sizeof units;
    units[1] = 1u << 31 | value;
    buffer_append(&map, &size, sizeof size);
    buffer_append(&map, units, sizeof units);
    buffer_append(&map, "a\0\xC3\xA9", 5);
    assert_int_equal(precompiled_create(&p, map.data, map.size, &e), accepted ? 0 : -1);
    precompiled_destroy(&p);
    buffer_free(&map);
}

static void test_maps(void **state)
{
    (void)state;
    check_map(0, true);
    check_map(2, true);
    check_map(3, false); /* inside a character */
    check_map(5, false); /* beyond the end */
    check_map(0x7FFFFFFF, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_maps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
