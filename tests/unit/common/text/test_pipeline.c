/* SPDX-License-Identifier: Apache-2.0 */
/* tokenizer.json of every kind against Hugging Face `tokenizers`: ids, rows of two texts, early stop, export; merges against the
 * reference; what is refused. */
#include "tests/unit/common/text/text_test.h"

#include "common/text/merges.h"
#include "common/text/pair.h"
#include "common/text/pattern.h"

static struct tokenizer *open_case(const struct json *c)
{
    char *directory = make_directory();
    put_text(directory, "tokenizer.json", json_string(json_get(c, "tokenizer")));
    put_text(directory, "tokenizer_config.json", "{\"tokenizer_class\":\"PreTrainedTokenizerFast\"}");
    struct tokenizer *t = open_directory(directory);
    remove_directory(directory);
    return t;
}

static void check_texts(const struct tokenizer *t, const struct json *texts, const struct json *ids, const char *name)
{
    for (size_t i = 0; i < json_size(texts); i++) {
        size_t size;
        char *text = from_hex(json_string(json_at(texts, i)), &size), *what = format_string("%s, text %zu", name, i);
        check_text(t, text, size, json_at(ids, i), what);
        free(what);
        free(text);
    }
}

/* The first tokens are those of the whole text. */
static void check_early_stop(const struct tokenizer *t, const struct json *texts, const char *name)
{
    struct token_list whole = {0}, start = {0};
    for (size_t i = 0; i < json_size(texts); i++) {
        size_t size;
        char *text = from_hex(json_string(json_at(texts, i)), &size);
        whole.count = start.count = 0;
        tokenizer_encode(t, text, size, SIZE_MAX, &whole);
        tokenizer_encode(t, text, size, whole.count / 2, &start);
        if (start.count != whole.count / 2 || (start.count && memcmp(start.ids, whole.ids, start.count * sizeof *start.ids) != 0))
            fail_msg("%s, text %zu: the first %zu tokens are others than those of the whole text", name, i, whole.count / 2);
        free(text);
    }
    token_list_free(&whole);
    token_list_free(&start);
}

static void check_pairs(const struct tokenizer *t, const struct json *rows, const struct json *texts, const char *name)
{
    struct pair p = {0};
    for (size_t i = 0; i < json_size(rows); i++) {
        const struct json *row = json_at(rows, i);
        const char *how = json_string(json_at(row, 0)), *a = json_string(json_at(texts, (size_t)json_number(json_at(row, 2))));
        double second = json_number(json_at(row, 3));
        const char *b = second < 0 ? NULL : json_string(json_at(texts, (size_t)second));
        uint32_t length = (uint32_t)json_number(json_at(row, 1));
        int k = 0;
        while (strcmp(truncation_names[k], how) != 0)
            k++;
        pair_encode(&p, t, a, strlen(a), b, b ? strlen(b) : 0, length, (enum truncation)k);
        char *what = format_string("%s: %s %u \"%s\" \"%s\"", name, how, length, a, b ? b : "(none)");
        assert_ids(json_at(row, 4), p.tokens.ids, p.tokens.count, what);
        if (p.first != (uint32_t)json_number(json_at(row, 5)))
            fail_msg("%s: expected %.0f tokens of type 0, found %u", what, json_number(json_at(row, 5)), p.first);
        free(what);
    }
    token_list_free(&p.tokens);
}

static void check_export(const struct tokenizer *t, const struct json *texts, const struct json *ids, const char *name)
{
    struct error e = {0};
    char *directory = make_directory();
    if (tokenizer_export(t, directory, 512, &e))
        fail_msg("%s", e.message);
    struct tokenizer *again = open_directory(directory);
    assert_string_equal(tokenizer_sha256(t), tokenizer_sha256(again));
    check_texts(again, texts, ids, name);
    tokenizer_close(&again);
    remove_directory(directory);
}

static void every_kind_as_tokenizers(void **state)
{
    (void)state;
    struct json *g = golden("text_pipelines.json");
    const struct json *cases = json_get(g, "cases"), *texts = json_get(g, "texts");
    assert_true(json_size(cases) >= 29);
    for (size_t i = 0; i < json_size(cases); i++) {
        const struct json *c = json_at(cases, i), *ids = json_get(c, "ids");
        const char *name = json_string(json_get(c, "name"));
        struct tokenizer *t = open_case(c);
        check_texts(t, texts, ids, name);
        check_texts(t, texts, ids, name); /* the second time from the cache */
        check_early_stop(t, texts, name);
        check_pairs(t, json_get(c, "pairs"), json_get(g, "pair_texts"), name);
        check_export(t, texts, ids, name);
        tokenizer_close(&t);
    }
    json_destroy(&g);
}

static const struct json *find_case(const struct json *g, const char *name)
{
    const struct json *cases = json_get(g, "cases");
    for (size_t i = 0; i < json_size(cases); i++)
        if (!strcmp(json_string(json_get(json_at(cases, i), "name")), name))
            return json_at(cases, i);
    fail_msg("the golden file has no case %s", name);
    return NULL;
}

static struct json *parse_tokenizer(const struct json *c)
{
    struct json *j = NULL;
    struct error e = {0};
    const char *text = json_string(json_get(c, "tokenizer"));
    if (json_parse(&j, text, strlen(text), "golden", &e))
        fail_msg("%s", e.message);
    return j;
}

static void put_merges(const char *directory, const struct json *merges)
{
    struct buffer b = {0};
    buffer_text(&b, "#version: 0.2\n");
    for (size_t i = 0; i < json_size(merges); i++)
        buffer_printf(&b, "%s %s\n", json_string(json_at(json_at(merges, i), 0)), json_string(json_at(json_at(merges, i), 1)));
    put_file(directory, "merges.txt", b.data, b.size);
    buffer_free(&b);
}

#define MASK "\"mask_token\":{\"content\":\"<mask>\",\"lstrip\":true,\"special\":true}"

/* vocab.json and merges.txt give what the tokenizer.json gives that they were taken from. */
static void older_files_give_the_same(void **state)
{
    (void)state;
    static const char *const rows[][3] = {
        {"roberta", "{\"tokenizer_class\":\"RobertaTokenizer\"," MASK "}", "{}"},
        {"roberta", "{" MASK "}", "{\"model_type\":\"roberta\"}"},
        {"roberta_prefix", "{\"tokenizer_class\":\"LongformerTokenizerFast\",\"add_prefix_space\":true," MASK "}", "{}"},
    };
    struct json *g = golden("text_pipelines.json");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct json *c = find_case(g, rows[i][0]);
        struct json *j = parse_tokenizer(c);
        char *directory = make_directory();
        put_json(directory, "vocab.json", json_copy(json_get(json_get(j, "model"), "vocab")));
        put_merges(directory, json_get(json_get(j, "model"), "merges"));
        put_text(directory, "tokenizer_config.json", rows[i][1]);
        put_text(directory, "config.json", rows[i][2]);
        struct tokenizer *t = open_directory(directory);
        check_texts(t, json_get(g, "texts"), json_get(c, "ids"), rows[i][0]);
        check_pairs(t, json_get(c, "pairs"), json_get(g, "pair_texts"), rows[i][0]);
        check_export(t, json_get(g, "texts"), json_get(c, "ids"), rows[i][0]);
        tokenizer_close(&t);
        remove_directory(directory);
        json_destroy(&j);
    }
    json_destroy(&g);
}

/* RoBERTa's classes take add_prefix_space from tokenizer_config.json, and say so where tokenizer.json has another. */
static void the_class_decides_the_prefix(void **state)
{
    (void)state;
    struct json *g = golden("text_pipelines.json");
    static const struct {
        const char *from, *config, *as, *says;
    } rows[] = {
        {"roberta", "{\"tokenizer_class\":\"RobertaTokenizer\",\"add_prefix_space\":true}", "roberta_prefix",
         "add_prefix_space is false in tokenizer.json, true in tokenizer_config.json"},
        {"roberta_prefix", "{\"tokenizer_class\":\"RobertaTokenizerFast\"}", "roberta", "false by default"},
        {"roberta_prefix", "{\"tokenizer_class\":\"PreTrainedTokenizerFast\"}", "roberta_prefix", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *directory = make_directory();
        put_text(directory, "tokenizer.json", json_string(json_get(find_case(g, rows[i].from), "tokenizer")));
        put_text(directory, "tokenizer_config.json", rows[i].config);
        struct tokenizer *t = open_directory(directory);
        const char *found = tokenizer_disagreement(t);
        check_texts(t, json_get(g, "texts"), json_get(find_case(g, rows[i].as), "ids"), rows[i].config);
        if (!found != !rows[i].says || (found && !strstr(found, rows[i].says)))
            fail_msg("%s: expected \"%s\", found \"%s\"", rows[i].config, rows[i].says ? rows[i].says : "nothing",
                     found ? found : "nothing");
        tokenizer_close(&t);
        remove_directory(directory);
    }
    json_destroy(&g);
}

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* Symbols 0 to 7 and what they merge into, by random rules; the scan against `tokenizers`' heap. */
static void scan_and_heap_agree(void **state)
{
    (void)state;
    enum { SYMBOLS = 8, RULES = 120 };
    uint32_t random = 7;
    size_t merged = 0;
    for (int round = 0; round < 60; round++) {
        struct merges m;
        struct merge_scratch scratch = {0};
        merges_create(&m, RULES);
        for (int32_t i = 0; i < RULES; i++)
            merges_put(&m, (struct merge){(int32_t)(next_random(&random) % (uint32_t)(SYMBOLS + i)),
                                          (int32_t)(next_random(&random) % (uint32_t)(SYMBOLS + i)), next_random(&random) % 1000,
                                          SYMBOLS + i});
        for (int row = 0; row < 200; row++) {
            int32_t scan[MERGES_SCAN], heap[MERGES_SCAN];
            size_t n = 1 + next_random(&random) % MERGES_SCAN;
            for (size_t i = 0; i < n; i++)
                scan[i] = heap[i] = (int32_t)(next_random(&random) % SYMBOLS);
            size_t a = merges_apply_scan(&m, scan, n), b = merges_apply_heap(&m, heap, n, &scratch);
            if (a != b || memcmp(scan, heap, a * sizeof *scan) != 0)
                fail_msg("round %d, row %d: the heap leaves %zu symbols, the scan %zu or others", round, row, b, a);
            merged += n - a;
        }
        merge_scratch_free(&scratch);
        merges_free(&m);
    }
    assert_true(merged > 10000);
}

static void patterns_match(void **state)
{
    (void)state;
    static const struct {
        const char *expression, *text;
        size_t start, stop; /* stop 0: no match */
    } rows[] = {
        {"a+b", "xaab", 1, 4},
        {"a++ab", "aaab", 0, 0},
        {"\\p{N}{1,3}", "x12345", 1, 4},
        {"\\s+(?!\\S)|\\s+", "a  b", 1, 2},
        {"(?i:'LL)", "i'lL", 1, 4},
        {"(?i:'s)", "it'\xc5\xbf", 2, 5},
        {"[^\\s\\p{L}]+", "ab!?c", 2, 4},
        {"(?:ab|a)c?b", "abb", 0, 3},
        {"(?:x)?y", "xy", 0, 2},
        {"[\\u]", "u", 0, 0},
        {"\\w(?=!)", "ab!", 1, 2},
        {"[a-c\\-]{2}", "xa-b", 1, 3},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct pattern *p = NULL;
        struct error e = {0};
        struct match m = {0};
        if (pattern_create(&p, rows[i].expression, "tokenizer.json", &e)) {
            assert_int_equal(e.kind, ERROR_USAGE);
            assert_int_equal(rows[i].stop, 0);
            continue;
        }
        bool found = pattern_find(p, rows[i].text, strlen(rows[i].text), 0, &m);
        if (found != (rows[i].stop > 0) || (found && (m.start != rows[i].start || m.stop != rows[i].stop)))
            fail_msg("%s in \"%s\": expected %zu to %zu, found %zu to %zu", rows[i].expression, rows[i].text, rows[i].start,
                     rows[i].stop, m.start, m.stop);
        pattern_destroy(p);
    }
}

#define BPE(more) "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2}," more "}}"
#define OTHER(more) "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1},\"merges\":[]}," more "}"
#define SPLIT(expression)                                                                                                        \
    OTHER("\"pre_tokenizer\":{\"type\":\"Split\",\"behavior\":\"Isolated\",\"pattern\":{\"Regex\":\"" expression "\"}}")

static void refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        enum error_kind kind;
        const char *says;
    } rows[] = {
        {BPE("\"merges\":[\"a c\"]"), ERROR_DATA, "merge 0, \"a\" with \"c\", needs the token \"c\""},
        {BPE("\"merges\":[[\"a\",\"b\"],[\"b\",\"a\"]]"), ERROR_DATA, "merge 1, \"b\" with \"a\", needs the token \"ba\""},
        {BPE("\"merges\":[\"a b c\"]"), ERROR_DATA, "merge 0 is \"a b c\""},
        {BPE("\"merges\":[[\"a\"]]"), ERROR_DATA, "merge 0 is neither"},
        {BPE("\"merges\":null"), ERROR_DATA, "no list of \"merges\""},
        {BPE("\"merges\":[],\"unk_token\":\"<unk>\""), ERROR_DATA, "no \"<unk>\""},
        {BPE("\"merges\":[],\"dropout\":0.1"), ERROR_USAGE, "dropout 0.1"},
        {OTHER("\"normalizer\":{\"type\":\"Magic\"}"), ERROR_USAGE, "its normalizer \"Magic\" is not supported"},
        {OTHER("\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"UnicodeScripts\"}]}"), ERROR_USAGE,
         "its pre_tokenizer \"UnicodeScripts\" is not supported"},
        {OTHER("\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":1}"), ERROR_DATA, "add_prefix_space"},
        {SPLIT("a*"), ERROR_USAGE, "match of the empty text"},
        {SPLIT("(?<=a)b"), ERROR_USAGE, "kind of (?..)"},
        {SPLIT("a+?"), ERROR_USAGE, "lazy quantifier"},
        {SPLIT("(ab)+"), ERROR_USAGE, "repeated group"},
        {SPLIT("\\\\p{Han}"), ERROR_USAGE, "\\p{..} of that name"},
        {SPLIT("[a"), ERROR_USAGE, "[ without ]"},
        {SPLIT("(a"), ERROR_USAGE, "( without )"},
        {OTHER("\"post_processor\":{\"type\":\"Other\"}"), ERROR_USAGE, "its post_processor \"Other\" is not supported"},
        {OTHER("\"post_processor\":{\"type\":\"RobertaProcessing\",\"cls\":[\"a\",0]}"), ERROR_DATA, "\"sep\" has no token id"},
        {OTHER("\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[],\"pair\":[]}"), ERROR_DATA,
         "template for one text does not have A alone"},
        {OTHER(
             "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"x\",\"type_id\":0}}]}"),
         ERROR_DATA, "gives no ids for the token \"x\""},
        {OTHER("\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"Sequence\":{\"id\":\"A\",\"type_id\":2}}]}"),
         ERROR_USAGE, "type_id 2"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *directory = make_directory();
        struct tokenizer *t = NULL;
        struct error e = {0};
        put_text(directory, "tokenizer.json", rows[i].json);
        put_text(directory, "tokenizer_config.json", "{\"tokenizer_class\":\"PreTrainedTokenizerFast\"}");
        int result = tokenizer_open(&t, directory, &e);
        if (!result || e.kind != rows[i].kind || !strstr(e.message, rows[i].says) || !strstr(e.message, directory))
            fail_msg("refusal %zu: expected kind %d and \"%s\", found result %d, kind %d, \"%s\"", i, rows[i].kind, rows[i].says,
                     result, e.kind, e.message);
        remove_directory(directory);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_as_tokenizers),
        cmocka_unit_test(older_files_give_the_same),
        cmocka_unit_test(the_class_decides_the_prefix),
        cmocka_unit_test(scan_and_heap_agree),
        cmocka_unit_test(patterns_match),
        cmocka_unit_test(refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
