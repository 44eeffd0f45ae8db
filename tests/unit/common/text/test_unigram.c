/* SPDX-License-Identifier: Apache-2.0 */
/* Unigram tokenisers against `tokenizers` (tests/golden/text_unigram.json, made by tools/golden_unigram.py): Precompiled, old and
 * new Metaspace, ties, byte fallback; early stops; scores as `tokenizers` reads them; what is refused. */
#include "tests/unit/common/text/text_test.h"

#include "common/text/unigram.h"

static void put_tokenizer(const char *directory, const struct json *model, const struct json *models)
{
    struct json *j = json_copy(json_get(model, "tokenizer"));
    const struct json *words = json_get(json_get(json_get(json_at(models, 4), "tokenizer"), "model"), "vocab"),
                      *part = json_get(j, "model");
    if (json_type(json_get(part, "vocab")) == JSON_NULL) {
        struct json *full = json_copy(part);
        json_set(full, "vocab", json_copy(words));
        json_set(j, "model", full);
    }
    if (json_string(json_get(j, "normalizer")))
        json_set(j, "normalizer", json_copy(json_get(json_at(models, 0), "precompiled")));
    put_json(directory, "tokenizer.json", j);
    put_text(directory, "tokenizer_config.json", "{\"tokenizer_class\":\"PreTrainedTokenizerFast\"}");
}

static void check_stops(const struct tokenizer *t, const char *text, const struct json *expected)
{
    size_t limits[] = {0, 1, 2, 7, json_size(expected), json_size(expected) + 1};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        struct token_list l = {0};
        size_t count = limits[i] < json_size(expected) ? limits[i] : json_size(expected);
        tokenizer_encode(t, text, strlen(text), limits[i], &l);
        assert_int_equal(l.count, count);
        for (size_t k = 0; k < count; k++)
            assert_int_equal(l.ids[k], (int)json_number(json_at(expected, k)));
        token_list_free(&l);
    }
}

static void check_model(const struct json *model, const struct json *models)
{
    char *directory = make_directory();
    put_tokenizer(directory, model, models);
    struct tokenizer *t = open_directory(directory);
    const struct json *texts = json_get(json_at(models, 0), "texts"), *ids = json_get(model, "ids");
    assert_true(json_size(texts) > 50 && json_size(ids) == json_size(texts));
    for (size_t i = 0; i < json_size(texts); i++) {
        const char *text = json_string(json_at(texts, i));
        char *what = format_string("text %zu (%.60s)", i, text);
        check_text(t, text, strlen(text), json_at(ids, i), what);
        check_stops(t, text, json_at(ids, i));
        free(what);
    }
    tokenizer_close(&t);
    remove_directory(directory);
}

static void test_models(void **state)
{
    (void)state;
    struct json *g = golden("text_unigram.json");
    const struct json *models = json_get(g, "models");
    size_t checked = 0;
    for (size_t i = 1; i < json_size(models); i++)
        if (!strcmp(json_string(json_get(json_at(models, i), "kind")), "json")) {
            check_model(json_at(models, i), models);
            checked++;
        }
    assert_int_equal(checked, 12);
    json_destroy(&g);
}

/* Read off from tokenizers 0.23.3: the number as it stands in the file, and the score that the model has. */
static void test_scores(void **state)
{
    static const double pairs[][2] = {{-15.774467468261719, -15.77446746826172},
                                      {-1.8771917819976807, -1.8771917819976809},
                                      {-18.728811264038086, -18.72881126403809},
                                      {-12.934548808616615, -12.934548808616617},
                                      {-12.228940848455181, -12.22894084845518},
                                      {-12.307247184717745, -12.307247184717744},
                                      {-3.625642776489258, -3.625642776489258},
                                      {0, 0},
                                      {-5, -5},
                                      {0.5, 0.5}};
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        if (unigram_json_score(pairs[i][0]) != pairs[i][1])
            fail_msg("%.17g: expected %.17g, found %.17g", pairs[i][0], pairs[i][1], unigram_json_score(pairs[i][0]));
}

static void check_refused(const char *model, const char *words)
{
    struct error e = {0};
    struct tokenizer *t = NULL;
    char *directory = make_directory(),
         *text = format_string(
             "{\"normalizer\":null,\"pre_tokenizer\":null,\"post_processor\":null,\"added_tokens\":[],\"model\":%s}", model);
    put_text(directory, "tokenizer.json", text);
    put_text(directory, "tokenizer_config.json", "{\"tokenizer_class\":\"PreTrainedTokenizerFast\"}");
    assert_int_equal(tokenizer_open(&t, directory, &e), -1);
    if (!strstr(e.message, words))
        fail_msg("%s: expected \"%s\", found \"%s\"", model, words, e.message);
    free(text);
    remove_directory(directory);
}

static void test_refused(void **state)
{
    (void)state;
    check_refused("{\"type\":\"Unigram\",\"vocab\":[[\"a\",0]]}", "unk_id");
    check_refused("{\"type\":\"Unigram\",\"unk_id\":null,\"vocab\":[[\"a\",0]]}", "unk_id");
    check_refused("{\"type\":\"Unigram\",\"unk_id\":1,\"vocab\":[[\"a\",0]]}", "unknown token 1");
    check_refused("{\"type\":\"Unigram\",\"unk_id\":0.5,\"vocab\":[[\"a\",0]]}", "unk_id");
    check_refused("{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"a\"]]}", "score");
    check_refused("{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"a\",0],[\"b\",\"x\"]]}", "score");
    check_refused("{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[]}", "vocabulary");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_models),
        cmocka_unit_test(test_scores),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
