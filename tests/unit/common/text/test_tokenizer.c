/* SPDX-License-Identifier: Apache-2.0 */
/* Token ids against Hugging Face `tokenizers` (tests/golden/text_*, made by tools/golden_text.py), and what is refused. */
#include "tests/unit/common/text/text_test.h"

#define SPECIALS "[PAD]\n[UNK]\n[CLS]\n[SEP]\n"
#define MODEL(vocab) "\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\",\"vocab\":{" vocab "}}"
#define VOCAB "\"[UNK]\":0,\"[CLS]\":1,\"[SEP]\":2"
#define NORMALIZER                                                                                                               \
    "\"normalizer\":{\"type\":\"BertNormalizer\",\"clean_text\":true,\"handle_chinese_chars\":true,\"lowercase\":true}"
#define CUT "\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"}"

static void check_rows(const struct tokenizer *t, const struct json *rows)
{
    assert_true(json_size(rows) > 0);
    for (size_t i = 0; i < json_size(rows); i++) {
        const struct json *row = json_at(rows, i);
        const char *digits = json_string(json_at(row, 0));
        size_t size;
        char *text = from_hex(digits, &size), *what = format_string("row %zu (%.80s)", i, digits);
        check_text(t, text, size, json_at(row, 1), what);
        free(text);
        free(what);
    }
}

static void traps(void **state)
{
    (void)state;
    struct tokenizer *t = open_small();
    struct json *g = golden("text_traps.json");
    check_rows(t, json_get(g, "rows"));
    json_destroy(&g);
    tokenizer_close(&t);
}

static void sentences(void **state)
{
    (void)state;
    struct tokenizer *t = open_small();
    struct json *g = golden("text_sentences.json");
    const struct json *rows = json_get(g, "rows");
    assert_true(json_size(rows) >= 300);
    for (size_t i = 0; i < json_size(rows); i++) {
        const char *text = json_string(json_at(json_at(rows, i), 0));
        check_text(t, text, strlen(text), json_at(json_at(rows, i), 1), text);
    }
    json_destroy(&g);
    tokenizer_close(&t);
}

static void long_texts(void **state)
{
    (void)state;
    struct tokenizer *t = open_small();
    struct json *g = golden("text_long.json");
    const struct json *rows = json_get(g, "rows");
    assert_true(json_size(rows) > 0);
    for (size_t i = 0; i < json_size(rows); i++) {
        const struct json *row = json_at(rows, i);
        struct buffer text = {0};
        struct token_list l = {0};
        size_t size, times = (size_t)json_number(json_at(row, 1));
        char *piece = from_hex(json_string(json_at(row, 0)), &size);
        for (size_t k = 0; k < times; k++)
            buffer_append(&text, piece, size);
        tokenizer_encode(t, text.data, text.size, SIZE_MAX, &l);
        double sum = 0;
        for (size_t k = 0; k < l.count; k++)
            sum += (double)l.ids[k] * (double)(k % 1000 + 1);
        if ((double)l.count != json_number(json_at(row, 2)) || sum != json_number(json_at(row, 3)))
            fail_msg("%zu times \"%s\": expected %.0f ids of sum %.0f, found %zu of %.0f", times, piece,
                     json_number(json_at(row, 2)), json_number(json_at(row, 3)), l.count, sum);
        free(piece);
        buffer_free(&text);
        token_list_free(&l);
    }
    json_destroy(&g);
    tokenizer_close(&t);
}

static void early_stop_gives_the_same_start(void **state)
{
    (void)state;
    struct tokenizer *t = open_small();
    struct json *g = golden("text_traps.json");
    const struct json *rows = json_get(g, "rows");
    for (size_t i = 0; i < json_size(rows); i++) {
        size_t size, total = json_size(json_at(json_at(rows, i), 1));
        char *text = from_hex(json_string(json_at(json_at(rows, i), 0)), &size);
        struct token_list whole = {0}, start = {0};
        tokenizer_encode(t, text, size, SIZE_MAX, &whole);
        for (size_t limit = 0; limit <= total + 1; limit += limit < 20 ? 1 : 37) {
            size_t expected = limit < total ? limit : total;
            start.count = 0;
            tokenizer_encode(t, text, size, 2, &start); /* appends */
            size_t before = start.count;
            tokenizer_encode(t, text, size, limit, &start);
            if (start.count - before != expected ||
                (expected && memcmp(start.ids + before, whole.ids, expected * sizeof *whole.ids)))
                fail_msg("row %zu, limit %zu: expected the first %zu of %zu ids, found %zu", i, limit, expected, total,
                         start.count - before);
        }
        free(text);
        token_list_free(&whole);
        token_list_free(&start);
    }
    json_destroy(&g);
    tokenizer_close(&t);
}

static void check_list(const struct tokenizer *t, const struct json *texts, const struct json *ids, const char *what)
{
    assert_true(json_size(texts) > 0 && json_size(texts) == json_size(ids));
    for (size_t i = 0; i < json_size(texts); i++) {
        const char *digits = json_string(json_at(texts, i));
        size_t size;
        char *text = from_hex(digits, &size), *place = format_string("%s, text %zu (%.80s)", what, i, digits);
        check_text(t, text, size, json_at(ids, i), place);
        free(text);
        free(place);
    }
}

static void cased_settings(void **state)
{
    (void)state;
    static const char *const keys[] = {"do_lower_case", "strip_accents", "tokenize_chinese_chars"};
    struct json *g = golden("text_cased.json");
    const struct json *settings = json_get(g, "settings");
    assert_int_equal(json_size(settings), 5);
    for (size_t i = 0; i < json_size(settings); i++) {
        const struct json *s = json_at(settings, i);
        struct json *config = json_object();
        for (size_t k = 0; k < 3; k++)
            json_set(config, keys[k], json_copy(json_get(s, keys[k])));
        char *what = json_print(config, false), *directory = make_directory();
        put_vocabulary(directory, json_get(g, "vocabulary"));
        put_json(directory, "tokenizer_config.json", config);
        struct tokenizer *t = open_directory(directory);
        check_list(t, json_get(g, "texts"), json_get(s, "ids"), what);
        tokenizer_close(&t);
        remove_directory(directory);
        free(what);
    }
    json_destroy(&g);
}

/* A tokenizer.json of BERT's parts. */
static struct json *bert_json(const struct json *words, bool lowercase, const struct json *added)
{
    struct json *root = json_object(), *n = json_set(root, "normalizer", json_object()),
                *m = json_set(root, "model", json_object());
    json_set_string(n, "type", "BertNormalizer");
    json_set_boolean(n, "clean_text", true);
    json_set_boolean(n, "handle_chinese_chars", true);
    json_set(n, "strip_accents", json_null());
    json_set_boolean(n, "lowercase", lowercase);
    json_set_string(json_set(root, "pre_tokenizer", json_object()), "type", "BertPreTokenizer");
    json_set_string(m, "type", "WordPiece");
    json_set_string(m, "unk_token", "[UNK]");
    json_set_string(m, "continuing_subword_prefix", "##");
    json_set_number(m, "max_input_chars_per_word", 100);
    struct json *v = json_set(m, "vocab", json_object());
    for (size_t i = 0; i < json_size(words); i++)
        json_set_number(v, json_string(json_at(words, i)), (double)i);
    json_set(root, "added_tokens", added ? json_copy(added) : json_array());
    return root;
}

static void check_exported(const struct tokenizer *t, const struct json *texts, const struct json *ids, const char *what)
{
    struct error e = {0};
    char *directory = make_directory();
    if (tokenizer_export(t, directory, 512, &e))
        fail_msg("%s", e.message);
    struct tokenizer *again = open_directory(directory);
    assert_string_equal(tokenizer_sha256(t), tokenizer_sha256(again));
    assert_int_equal(tokenizer_size(t), tokenizer_size(again));
    check_list(again, texts, ids, what);
    tokenizer_close(&again);
    remove_directory(directory);
}

static void added_tokens_with_every_flag(void **state)
{
    (void)state;
    struct json *g = golden("text_added.json");
    const struct json *cases = json_get(g, "cases");
    assert_int_equal(json_size(cases), 24);
    for (size_t i = 0; i < json_size(cases); i++) {
        const struct json *c = json_at(cases, i);
        char *directory = make_directory(), *what = format_string("case %zu", i);
        put_json(directory, "tokenizer.json",
                 bert_json(json_get(g, "vocabulary"), json_boolean(json_get(c, "lowercase")), json_get(c, "added_tokens")));
        put_text(directory, "tokenizer_config.json", "{\"tokenizer_class\":\"PreTrainedTokenizerFast\"}");
        struct tokenizer *t = open_directory(directory);
        check_list(t, json_get(g, "texts"), json_get(c, "ids"), what);
        check_exported(t, json_get(g, "texts"), json_get(c, "ids"), "exported");
        tokenizer_close(&t);
        remove_directory(directory);
        free(what);
    }
    json_destroy(&g);
}

/* Every file beside the vocabulary, against transformers 5 (tools/golden_text.py --files). */
static void all_files_as_transformers(void **state)
{
    (void)state;
    struct json *g = golden("text_files.json");
    const struct json *cases = json_get(g, "cases"), *texts = json_get(g, "texts");
    assert_true(json_size(cases) >= 40);
    for (size_t i = 0; i < json_size(cases); i++) {
        const struct json *c = json_at(cases, i), *files = json_get(c, "files");
        const char *name = json_string(json_get(c, "name"));
        char *directory = make_directory();
        for (size_t k = 0; k < json_size(files); k++)
            put_text(directory, json_key(files, k), json_string(json_at(files, k)));
        struct tokenizer *t = open_directory(directory);
        check_list(t, texts, json_get(c, "ids"), name);
        if (!tokenizer_disagreement(t) != !json_boolean(json_get(c, "disagree")))
            fail_msg("%s: expected %s disagreement, found \"%s\"", name, json_boolean(json_get(c, "disagree")) ? "a" : "no",
                     tokenizer_disagreement(t) ? tokenizer_disagreement(t) : "");
        check_exported(t, texts, json_get(c, "ids"), name);
        tokenizer_close(&t);
        remove_directory(directory);
    }
    json_destroy(&g);
}

static void a_disagreement_names_both_values(void **state)
{
    (void)state;
    static const struct {
        const char *config, *says; /* NULL: nothing */
    } rows[] = {
        {"{\"tokenizer_class\":\"BertTokenizer\",\"do_lower_case\":false}",
         "lowercase is true in tokenizer.json, do_lower_case is false in tokenizer_config.json; the latter holds, as "
         "transformers 5 "
         "reads BertTokenizer"},
        {"{\"strip_accents\":false}",
         "strip_accents is true in tokenizer.json, strip_accents is false in tokenizer_config.json; the "
         "latter holds, as transformers 5 reads a BERT model without tokenizer_class"},
        {"{\"tokenizer_class\":\"PreTrainedTokenizerFast\",\"do_lower_case\":false}",
         "lowercase is true in tokenizer.json, do_lower_case is false in tokenizer_config.json; tokenizer.json holds, as "
         "transformers 5 reads PreTrainedTokenizerFast"},
        {"{\"tokenizer_class\":\"PreTrainedTokenizerFast\"}", NULL},
        {"{\"do_lower_case\":true}", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *directory = make_directory();
        put_text(directory, "tokenizer.json", "{" MODEL(VOCAB) "," NORMALIZER "," CUT "}");
        put_text(directory, "tokenizer_config.json", rows[i].config);
        struct tokenizer *t = open_directory(directory);
        const char *found = tokenizer_disagreement(t);
        if (!found != !rows[i].says || (found && (!strstr(found, rows[i].says) || !strstr(found, directory))))
            fail_msg("%s: expected \"%s\", found \"%s\"", rows[i].config, rows[i].says ? rows[i].says : "nothing",
                     found ? found : "nothing");
        tokenizer_close(&t);
        remove_directory(directory);
    }
}

/* The older files say the same: added_tokens.json, added_tokens_decoder. */
static void added_tokens_beside_vocab_txt(void **state)
{
    (void)state;
    static const char vocabulary[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nnew\n##tok\n";
    static const char *const config[] = {
        "{}", "{\"added_tokens_decoder\":{\"7\":{\"content\":\"newtok\",\"lstrip\":false,\"rstrip\":false,\"single_word\":false,"
              "\"normalized\":true,\"special\":false}}}"};
    static const char text[] = "newtok NEWTOKnew [SEP]";
    static const int32_t expected[] = {7, 7, 5, 3};
    for (int i = 0; i < 2; i++) {
        char *directory = make_directory();
        put_file(directory, "vocab.txt", vocabulary, strlen(vocabulary));
        put_file(directory, "tokenizer_config.json", config[i], strlen(config[i]));
        if (!i)
            put_file(directory, "added_tokens.json", "{\"newtok\": 7}", 13);
        struct tokenizer *t = open_directory(directory);
        struct token_list l = {0};
        tokenizer_encode(t, text, strlen(text), SIZE_MAX, &l);
        assert_int_equal(l.count, 4);
        assert_memory_equal(l.ids, expected, sizeof expected);
        assert_int_equal(tokenizer_size(t), 8);
        assert_int_equal(tokenizer_special(t, "newtok"), 7);
        assert_int_equal(tokenizer_special(t, "[MASK]"), 4);
        assert_int_equal(tokenizer_special(t, "[NONE]"), -1);
        token_list_free(&l);
        tokenizer_close(&t);
        remove_directory(directory);
    }
}

static void vocab_txt_and_its_export_agree(void **state)
{
    (void)state;
    struct tokenizer *t = open_small();
    struct error e = {0};
    struct json *g = golden("text_traps.json");
    char *directory = make_directory(), *json = path_join(directory, "tokenizer.json");
    if (tokenizer_export(t, directory, 256, &e))
        fail_msg("%s", e.message);
    for (int i = 0; i < 2; i++) { /* tokenizer.json first, then what is left without it */
        struct tokenizer *again = open_directory(directory);
        assert_string_equal(tokenizer_sha256(t), tokenizer_sha256(again));
        check_rows(again, json_get(g, "rows"));
        tokenizer_close(&again);
        if (!i)
            assert_int_equal(unlink(json), 0);
    }
    free(json);
    remove_directory(directory);
    json_destroy(&g);
    tokenizer_close(&t);
}

static const struct refusal {
    const char *vocabulary, *config, *json; /* files of the directory; NULL: none */
    enum error_kind kind;
    const char *says;
} refusals[] = {
    {NULL, NULL, NULL, ERROR_USAGE, "has neither tokenizer.json nor vocab.txt"},
    {"", NULL, NULL, ERROR_DATA, "vocab.txt: the vocabulary is empty"},
    {"[UNK]\n[CLS]\nword\n", NULL, NULL, ERROR_DATA, "the vocabulary has no [SEP]"},
    {"[CLS]\n[SEP]\nword\n", NULL, NULL, ERROR_DATA, "the vocabulary has no [UNK]"},
    {"[UNK]\n[SEP]\nword\n", NULL, NULL, ERROR_DATA, "the vocabulary has no [CLS]"},
    {SPECIALS, NULL, "{" MODEL(VOCAB) "," NORMALIZER "," CUT ",\"added_tokens\":[{\"id\":7,\"content\":\"x\"}]}", ERROR_DATA,
     "\"x\" has id 7"},
    {NULL, "{\"tokenizer_class\":\"PreTrainedTokenizerFast\"}",
     "{" MODEL(VOCAB) "," NORMALIZER "," CUT ",\"added_tokens\":[{\"id\":7,\"content\":\"x\"}]}", ERROR_DATA, "\"x\" has id 7"},
    {NULL, "{\"tokenizer_class\":\"RobertaTokenizer\"}", "{" MODEL(VOCAB) "," NORMALIZER "," CUT "}", ERROR_USAGE,
     "tokenizer_class is \"RobertaTokenizer\""},
    {SPECIALS, "{\"tokenizer_class\":\"PreTrainedTokenizerFast\"}", NULL, ERROR_USAGE,
     "tokenizer_class is \"PreTrainedTokenizerFast\""},
    {SPECIALS "w\xff\n", NULL, NULL, ERROR_DATA, "vocab.txt:5: the word is not UTF-8"},
    {SPECIALS, "{\"tokenizer_class\":\"RobertaTokenizer\"}", NULL, ERROR_USAGE, "tokenizer_class is \"RobertaTokenizer\""},
    {SPECIALS, "{\"cls_token\":{\"content\":\"<s>\"}}", NULL, ERROR_USAGE, "cls_token is \"<s>\""},
    {SPECIALS, "{\"do_lower_case\":", NULL, ERROR_DATA, "tokenizer_config.json"},
    {SPECIALS, "{\"added_tokens_decoder\":{\"9\":{\"content\":\"x\"}}}", NULL, ERROR_DATA,
     "\"x\" has id 9, but by the vocabulary it is 4"},
    {NULL, NULL, "{", ERROR_DATA, "tokenizer.json"},
    {NULL, NULL, "{\"model\":{\"type\":\"BPE\"}}", ERROR_DATA, "its model has no \"vocab\""},
    {NULL, NULL, "{\"model\":{\"type\":\"Other\",\"vocab\":{\"a\":0}}}", ERROR_USAGE, "its model \"Other\" is not supported"},
    {NULL, "{\"tokenizer_class\":\"BertTokenizer\"}", "{\"model\":{\"type\":\"BPE\",\"vocab\":{}}}", ERROR_USAGE,
     "its model is \"BPE\""},
    {NULL, NULL, "{}", ERROR_USAGE, "its model is missing"},
    {NULL, NULL, "{" MODEL(VOCAB) ",\"normalizer\":{\"type\":\"NFKC\"}," CUT "}", ERROR_USAGE, "its normalizer is \"NFKC\""},
    {NULL, NULL, "{" MODEL(VOCAB) "," CUT "}", ERROR_USAGE, "its normalizer is missing"},
    {NULL, NULL, "{" MODEL(VOCAB) "," NORMALIZER ",\"pre_tokenizer\":{\"type\":\"Whitespace\"}}", ERROR_USAGE,
     "its pre_tokenizer is \"Whitespace\""},
    {NULL, NULL, "{" MODEL(VOCAB) "," NORMALIZER "," CUT ",\"post_processor\":{\"type\":\"RobertaProcessing\"}}", ERROR_USAGE,
     "its post_processor is \"RobertaProcessing\""},
    {NULL, NULL,
     "{" MODEL(VOCAB) "," NORMALIZER "," CUT ",\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[],\"pair\":[]}}",
     ERROR_USAGE, "[CLS] A [SEP] B [SEP]"},
    {NULL, NULL, "{" MODEL("") "," NORMALIZER "," CUT "}", ERROR_DATA, "the vocabulary is empty"},
    {NULL, NULL, "{" MODEL("\"[UNK]\":0,\"[CLS]\":0,\"[SEP]\":2") "," NORMALIZER "," CUT "}", ERROR_DATA, "id 0 belongs to both"},
    {NULL, NULL, "{" MODEL("\"[UNK]\":0,\"[CLS]\":1000000000,\"[SEP]\":2") "," NORMALIZER "," CUT "}", ERROR_DATA,
     "the id of \"[CLS]\""},
    {NULL, NULL, "{" MODEL("\"[UNK]\":-1") "," NORMALIZER "," CUT "}", ERROR_DATA, "the id of \"[UNK]\""},
    {NULL, NULL, "{" MODEL("\"[UNK]\":\"x\"") "," NORMALIZER "," CUT "}", ERROR_DATA, "the id of \"[UNK]\""},
    {NULL, NULL, "{" MODEL("\"[UNK]\":0.5") "," NORMALIZER "," CUT "}", ERROR_DATA, "the id of \"[UNK]\""},
    {NULL, NULL, "{" MODEL(VOCAB) "," NORMALIZER "," CUT ",\"added_tokens\":[{\"id\":7,\"content\":\"x\"}]}", ERROR_DATA,
     "\"x\" has id 7"},
    {NULL, NULL, "{" MODEL(VOCAB) "," NORMALIZER "," CUT ",\"added_tokens\":[{\"id\":3}]}", ERROR_DATA, "no content"},
    {NULL, NULL,
     "{\"model\":{\"type\":\"WordPiece\",\"max_input_chars_per_word\":1e9,\"vocab\":{" VOCAB "}}," NORMALIZER "," CUT "}",
     ERROR_USAGE, "max_input_chars_per_word is 1e+09"},
    {NULL, NULL, "{\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"<unk>\",\"vocab\":{" VOCAB "}}," NORMALIZER "," CUT "}",
     ERROR_USAGE, "its unknown token is \"<unk>\""},
};

static void refused_by_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        const struct refusal *r = &refusals[i];
        char *directory = make_directory();
        struct tokenizer *t = NULL;
        struct error e = {0};
        if (r->vocabulary)
            put_file(directory, "vocab.txt", r->vocabulary, strlen(r->vocabulary));
        if (r->config)
            put_file(directory, "tokenizer_config.json", r->config, strlen(r->config));
        if (r->json)
            put_file(directory, "tokenizer.json", r->json, strlen(r->json));
        int result = tokenizer_open(&t, directory, &e);
        if (!result || t || e.kind != r->kind || !strstr(e.message, r->says) || !strstr(e.message, directory))
            fail_msg("refusal %zu: expected kind %d and \"%s\", found result %d, kind %d, \"%s\"", i, r->kind, r->says, result,
                     e.kind, e.message);
        remove_directory(directory);
    }
    struct tokenizer *t = NULL;
    struct error e = {0};
    assert_int_equal(tokenizer_open(&t, "/nowhere/at/all", &e), -1);
    assert_int_equal(e.kind, ERROR_USAGE);
    assert_non_null(strstr(e.message, "/nowhere/at/all: no such model directory"));
}

/* A list where transformers has a dictionary says nothing. */
static void lists_in_place_of_dictionaries(void **state)
{
    (void)state;
    static const char *const files[][2] = {{"tokenizer_config.json", "[\"[X]\"]"},
                                           {"tokenizer_config.json", "{\"added_tokens_decoder\":[{\"content\":\"x\"}]}"},
                                           {"special_tokens_map.json", "[\"[X]\"]"},
                                           {"added_tokens.json", "[4]"},
                                           {"config.json", "[1]"}};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char *directory = make_directory();
        put_text(directory, "vocab.txt", SPECIALS "[MASK]\n");
        put_text(directory, files[i][0], files[i][1]);
        struct tokenizer *t = open_directory(directory);
        assert_int_equal(tokenizer_size(t), 5);
        tokenizer_close(&t);
        remove_directory(directory);
    }
}

static void digest_depends_on_settings(void **state)
{
    (void)state;
    static const char vocabulary[] = SPECIALS "word\n";
    static const char *const configs[] = {"{}", "{\"do_lower_case\":false}", "{\"strip_accents\":false}",
                                          "{\"tokenize_chinese_chars\":false}"};
    char digests[4][65];
    for (int i = 0; i < 4; i++) {
        char *directory = make_directory();
        put_file(directory, "vocab.txt", vocabulary, strlen(vocabulary));
        put_file(directory, "tokenizer_config.json", configs[i], strlen(configs[i]));
        struct tokenizer *t = open_directory(directory);
        snprintf(digests[i], sizeof digests[i], "%s", tokenizer_sha256(t));
        for (int k = 0; k < i; k++)
            assert_string_not_equal(digests[i], digests[k]);
        tokenizer_close(&t);
        remove_directory(directory);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(traps),
        cmocka_unit_test(sentences),
        cmocka_unit_test(long_texts),
        cmocka_unit_test(early_stop_gives_the_same_start),
        cmocka_unit_test(cased_settings),
        cmocka_unit_test(added_tokens_with_every_flag),
        cmocka_unit_test(all_files_as_transformers),
        cmocka_unit_test(a_disagreement_names_both_values),
        cmocka_unit_test(added_tokens_beside_vocab_txt),
        cmocka_unit_test(vocab_txt_and_its_export_agree),
        cmocka_unit_test(refused_by_name),
        cmocka_unit_test(lists_in_place_of_dictionaries),
        cmocka_unit_test(digest_depends_on_settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
