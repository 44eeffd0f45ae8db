/* SPDX-License-Identifier: Apache-2.0 */
/* Model directories with a sentencepiece .model and no tokenizer.json: the ids of transformers' converter of slow tokenizers
 * (tests/golden/text_unigram.json, made by tools/golden_unigram.py), and files that are broken. */
#include "tests/unit/common/text/text_test.h"

#include "common/text/sentencepiece_model.h"
#include "common/text/unigram.h"

static void put_model(const char *directory, const char *name, const char *golden_name)
{
    struct error e = {0};
    char *from = path_join(TEST_GOLDEN, golden_name), *to = path_join(directory, name);
    if (file_copy(from, to, &e))
        fail_msg("%s", e.message);
    free(from);
    free(to);
}

static char *make_model(const struct json *model)
{
    bool xlm = !strcmp(json_string(json_get(model, "kind")), "xlm");
    char *directory = make_directory();
    struct json *config = json_copy(json_get(model, "settings"));
    json_set_string(config, "tokenizer_class", xlm ? "XLMRobertaTokenizer" : "DebertaV2Tokenizer");
    put_json(directory, "tokenizer_config.json", config);
    put_model(directory, xlm ? "sentencepiece.bpe.model" : "spm.model",
              xlm ? "sentencepiece_xlm.model" : "sentencepiece_deberta.model");
    return directory;
}

static void check_texts(const struct tokenizer *t, const struct json *texts, const struct json *ids)
{
    assert_true(json_size(texts) > 50 && json_size(ids) == json_size(texts));
    for (size_t i = 0; i < json_size(texts); i++) {
        const char *text = json_string(json_at(texts, i));
        char *what = format_string("text %zu (%.60s)", i, text);
        check_text(t, text, strlen(text), json_at(ids, i), what);
        free(what);
    }
}

static void test_families(void **state)
{
    (void)state;
    struct json *g = golden("text_unigram.json");
    const struct json *models = json_get(g, "models");
    size_t checked = 0;
    for (size_t i = 1; i < json_size(models); i++) {
        const struct json *model = json_at(models, i), *texts = json_get(json_at(models, 0), "texts");
        if (!strcmp(json_string(json_get(model, "kind")), "json"))
            continue;
        struct error e = {0};
        char *directory = make_model(model), *bundle = make_directory();
        struct tokenizer *t = open_directory(directory);
        check_texts(t, texts, json_get(model, "ids"));
        if (tokenizer_export(t, bundle, 64, &e))
            fail_msg("%s", e.message);
        struct tokenizer *again = open_directory(bundle);
        check_texts(again, texts, json_get(model, "ids"));
        assert_int_equal(tokenizer_size(again), tokenizer_size(t));
        tokenizer_close(&again);
        tokenizer_close(&t);
        remove_directory(bundle);
        remove_directory(directory);
        checked++;
    }
    assert_int_equal(checked, 3);
    json_destroy(&g);
}

/* Scores are single precision; read back from the JSON they are the same. */
static void test_scores(void **state)
{
    struct error e = {0};
    struct json *j;
    char *path = path_join(TEST_GOLDEN, "sentencepiece_xlm.model");
    (void)state;
    if (sentencepiece_read(&j, path, (struct sentencepiece_options){SENTENCEPIECE_XLM}, &e))
        fail_msg("%s", e.message);
    const struct json *words = json_get(json_get(j, "model"), "vocab");
    assert_true(json_size(words) > 300);
    for (size_t i = 0; i < json_size(words); i++) {
        double score = unigram_json_score(json_number(json_at(json_at(words, i), 1)));
        if (score != (double)(float)score)
            fail_msg("word %zu: the score %.17g is not of single precision", i, score);
    }
    json_destroy(&j);
    free(path);
}

static void test_cut(void **state)
{
    struct error e = {0};
    char *bytes, *path = path_join(TEST_GOLDEN, "sentencepiece_xlm.model");
    size_t size, refused = 0;
    (void)state;
    if (file_read(&bytes, &size, path, &e))
        fail_msg("%s", e.message);
    for (size_t cut = 0; cut < size; cut += 37) {
        struct json *j = NULL;
        char *part = allocate(cut + 1, 1);
        memcpy(part, bytes, cut);
        refused += sentencepiece_parse(&j, part, cut, "x", (struct sentencepiece_options){SENTENCEPIECE_XLM}, &e) != 0;
        json_destroy(&j);
        free(part);
    }
    assert_true(refused > size / 37 * 3 / 4); /* a cut between two words may look whole */
    free(bytes);
    free(path);
}

static void check_refused(const char *bytes, size_t size, enum sentencepiece_family family, enum error_kind kind,
                          const char *words)
{
    struct error e = {0};
    struct json *j = NULL;
    assert_int_equal(sentencepiece_parse(&j, bytes, size, "x.model", (struct sentencepiece_options){.family = family}, &e), -1);
    assert_int_equal(e.kind, kind);
    if (!strstr(e.message, words) || !strstr(e.message, "x.model"))
        fail_msg("expected \"%s\", found \"%s\"", words, e.message);
}

#define REFUSED(bytes, family, kind, words) check_refused(bytes, sizeof bytes - 1, family, kind, words)
#define WORD "\x0A\x03\x0A\x01"

static void test_refused(void **state)
{
    (void)state;
    REFUSED(WORD "a" WORD "b" WORD "c\x12\x02\x18\x02", SENTENCEPIECE_XLM, ERROR_USAGE, "BPE");
    REFUSED(WORD "a" WORD "b" WORD "c\x12\x02\x18\x04", SENTENCEPIECE_XLM, ERROR_USAGE, "character");
    REFUSED(WORD "a" WORD "b" WORD "c\x12\x02\x18\x09", SENTENCEPIECE_XLM, ERROR_USAGE, "strange");
    REFUSED(WORD "a" WORD "b", SENTENCEPIECE_XLM, ERROR_DATA, "2 words");
    REFUSED("", SENTENCEPIECE_DEBERTA, ERROR_DATA, "0 words");
    REFUSED(WORD "a\x12\x03\xC0\x02\x01", SENTENCEPIECE_DEBERTA, ERROR_DATA, "unknown token 1");
    REFUSED(WORD "\xFF", SENTENCEPIECE_DEBERTA, ERROR_DATA, "byte 0");
    REFUSED(WORD "\0", SENTENCEPIECE_DEBERTA, ERROR_DATA, "byte 0");
    REFUSED("\x0A\x05\x15\0\0\xC0\x7F", SENTENCEPIECE_DEBERTA, ERROR_DATA, "byte 0"); /* a score that is no number */
    REFUSED("not a model", SENTENCEPIECE_DEBERTA, ERROR_DATA, "is this a sentencepiece model?");
    REFUSED("\x0A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01", SENTENCEPIECE_DEBERTA, ERROR_DATA, "byte 0");
}

static void test_directories(void **state)
{
    static const struct {
        const char *config, *model, *words;
    } cases[] = {
        {"{\"tokenizer_class\":\"CamembertTokenizer\"}", "sentencepiece.bpe.model", "CamembertTokenizer"},
        {"{\"tokenizer_class\":\"XLMRobertaTokenizer\"}", "spm.model", "sentencepiece.bpe.model"},
        {"{\"tokenizer_class\":\"DebertaV2TokenizerFast\"}", "sentencepiece.bpe.model", "spm.model"},
        {"{}", "spm.model", "tokenizer_class"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error e = {0};
        struct tokenizer *t = NULL;
        char *directory = make_directory();
        put_text(directory, "tokenizer_config.json", cases[i].config);
        put_model(directory, cases[i].model, "sentencepiece_xlm.model");
        assert_int_equal(tokenizer_open(&t, directory, &e), -1);
        if (!strstr(e.message, cases[i].words))
            fail_msg("case %zu: expected \"%s\", found \"%s\"", i, cases[i].words, e.message);
        remove_directory(directory);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_families), cmocka_unit_test(test_scores),      cmocka_unit_test(test_cut),
        cmocka_unit_test(test_refused),  cmocka_unit_test(test_directories),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
