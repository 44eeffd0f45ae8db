/* SPDX-License-Identifier: Apache-2.0 */
/* Bundles: written whole or not at all, replaced only at the end, read back as written; decision rules out of bounds are
 * refused. With MUSTER_KEEP_BUNDLE=FOLDER a bundle of a tiny random BERT stays there, for tests/system/bundle_check.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/base/philox.h"
#include "common/format/bundle.h"
#include "common/format/tensor_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WIDTH = 24, INNER = 40, POSITIONS = 64, WORDS = 12, LABELS = 2, LAYERS = 2, TENSOR_LIMIT = 64 };

static char *directory, *model, *weights;
static struct tokenizer *tokenizer;
static struct model_config config;
static struct json *inference;
static const char *const names[] = {"NOT_CITATION", "CITATION"};

static const char config_text[] =
    "{\"model_type\":\"bert\",\"architectures\":[\"BertModel\"],\"hidden_size\":24,\"num_hidden_layers\":2,\"num_attention_"
    "heads\":3,"
    "\"intermediate_size\":40,\"max_position_embeddings\":64,\"vocab_size\":12,\"type_vocab_size\":2,\"pad_token_id\":0}";
static const char vocabulary[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n##c\ncat\nsat\n.\nthe\n";
static const char tokenizer_config[] = "{\"do_lower_case\":true,\"tokenizer_class\":\"BertTokenizer\"}";
static const char inference_text[] = "{\"threshold\":0.35,\"temperature\":1.5,\"positive\":\"CITATION\",\"max_length\":32,"
                                     "\"rule\":\"f1\",\"learning_rate\":1e-05}";

/* --- a tiny random BERT, with the names that BertForSequenceClassification has --- */

struct list {
    struct tensor tensors[TENSOR_LIMIT];
    size_t count;
};

static void add(struct list *l, char *name, int64_t rows, int64_t columns)
{
    struct tensor *t = &l->tensors[l->count];
    float *values;
    t->name = name;
    t->dimensions = columns ? 2 : 1;
    t->shape[0] = rows;
    t->shape[1] = columns;
    t->count = (size_t)(rows * (columns ? columns : 1));
    t->size = t->count * sizeof(float);
    t->data = values = allocate(t->count, sizeof(float));
    for (size_t i = 0; i < t->count; i++)
        values[i] = (float)philox(1, RANDOM_INITIALIZE, (uint32_t)i, 0, (uint32_t)l->count, 0).word[0] * 0x1p-32f - 0.5f;
    l->count++;
}

static void add_linear(struct list *l, const char *name, int64_t out, int64_t in)
{
    add(l, format_string("%s.weight", name), out, in);
    add(l, format_string("%s.bias", name), out, 0);
}

static void add_layer(struct list *l, int layer)
{
    static const struct {
        const char *name;
        int64_t out, in;
    } parts[] = {
        {"attention.self.query", WIDTH, WIDTH},   {"attention.self.key", WIDTH, WIDTH},
        {"attention.self.value", WIDTH, WIDTH},   {"attention.output.dense", WIDTH, WIDTH},
        {"attention.output.LayerNorm", WIDTH, 0}, {"intermediate.dense", INNER, WIDTH},
        {"output.dense", WIDTH, INNER},           {"output.LayerNorm", WIDTH, 0},
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        char *name = format_string("bert.encoder.layer.%d.%s", layer, parts[i].name);
        add_linear(l, name, parts[i].out, parts[i].in);
        free(name);
    }
}

static int write_weights(const char *path, const char *const *metadata, struct error *e)
{
    struct list *l = allocate(1, sizeof *l);
    add(l, duplicate("bert.embeddings.word_embeddings.weight"), WORDS, WIDTH);
    add(l, duplicate("bert.embeddings.position_embeddings.weight"), POSITIONS, WIDTH);
    add(l, duplicate("bert.embeddings.token_type_embeddings.weight"), 2, WIDTH);
    add_linear(l, "bert.embeddings.LayerNorm", WIDTH, 0);
    for (int i = 0; i < LAYERS; i++)
        add_layer(l, i);
    add_linear(l, "bert.pooler.dense", WIDTH, WIDTH);
    add_linear(l, "classifier", LABELS, WIDTH);
    int result = safetensors_write(path, l->tensors, l->count, metadata, e);
    for (size_t i = 0; i < l->count; i++) {
        free((void *)(uintptr_t)l->tensors[i].name);
        free((void *)(uintptr_t)l->tensors[i].data);
    }
    free(l);
    return result;
}

/* --- the directory of a test --- */

static void put(const char *in, const char *name, const char *text)
{
    struct error e = {0};
    char *path = path_join(in, name);
    if (directory_create(in, &e) || file_write(path, text, strlen(text), &e))
        fail_msg("%s", e.message);
    free(path);
}

static struct json *parse(const char *text)
{
    struct json *j;
    struct error e = {0};
    if (json_parse(&j, text, strlen(text), "test", &e))
        fail_msg("%s", e.message);
    return j;
}

static int setup(void **state)
{
    (void)state;
    static const char *const metadata[] = {"format", "pt", NULL};
    struct error e = {0};
    char name[] = "/tmp/muster-test-XXXXXX";
    directory = mkdtemp(name) ? duplicate(name) : NULL;
    model = path_join(directory, "model");
    weights = path_join(directory, "trained.safetensors");
    put(model, "config.json", config_text);
    put(model, "vocab.txt", vocabulary);
    put(model, "tokenizer_config.json", tokenizer_config);
    inference = parse(inference_text);
    if (write_weights(weights, metadata, &e) || tokenizer_open(&tokenizer, model, &e) || model_config_read(&config, model, &e))
        fail_msg("%s", e.message);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    struct error e;
    int result = directory_remove(directory, &e);
    tokenizer_close(&tokenizer);
    json_destroy(&inference);
    free(directory);
    free(model);
    free(weights);
    return result;
}

static struct bundle_parts parts(void)
{
    return (struct bundle_parts){weights, model, &config, names, false, tokenizer, inference, "# Card\n"};
}

static void expect_entries(const char *in, const char *expected)
{
    char *command = format_string("test \"$(ls -A %s | sort | tr '\\n' ' ')\" = '%s'", in, expected);
    if (system(command)) {
        free(command);
        command = format_string("ls -A %s >&2", in);
        (void)!system(command);
        fail_msg("expected %s to hold '%s' alone", in, expected);
    }
    free(command);
}

static void is_read_back_as_written(void **state)
{
    (void)state;
    struct error e = {0};
    struct bundle *b;
    const char *kept = getenv("MUSTER_KEEP_BUNDLE");
    char *path = kept ? duplicate(kept) : path_join(directory, "runs/x/bundle/");
    struct bundle_parts p = parts();
    if (bundle_write(path, &p, &e) || bundle_open(&b, path, &e))
        fail_msg("%s", e.message);
    expect_entries(path, "README.md config.json inference_config.json model.safetensors special_tokens_map.json tokenizer.json "
                         "tokenizer_config.json vocab.txt ");
    assert_int_equal(bundle_labels(b)->count, LABELS);
    assert_string_equal(bundle_labels(b)->names[0], "NOT_CITATION");
    assert_string_equal(bundle_labels(b)->names[1], "CITATION");
    assert_false(bundle_labels(b)->multi);
    assert_int_equal(bundle_decision(b)->positive, 1);
    assert_true(bundle_decision(b)->thresholds[1] == 0.35);
    assert_true(bundle_decision(b)->temperature == 1.5);
    assert_int_equal(bundle_decision(b)->max_length, 32);
    assert_string_equal(json_string(json_get(bundle_inference(b), "rule")), "f1");
    assert_string_equal(json_string(json_get(json_get(bundle_inference(b), "id2label"), "1")), "CITATION");
    char *before, *after, *copied = path_join(path, BUNDLE_WEIGHTS);
    size_t before_size, after_size;
    assert_int_equal(file_read(&before, &before_size, weights, &e), 0);
    assert_int_equal(file_read(&after, &after_size, copied, &e), 0);
    assert_int_equal(before_size, after_size);
    assert_memory_equal(before, after, before_size);
    free(before);
    free(after);
    free(copied);
    bundle_close(&b);
    bundle_close(&b);
    free(path);
}

static void replaces_a_bundle_whole(void **state)
{
    (void)state;
    struct error e = {0};
    char *path = path_join(directory, "bundle"), *link = path_join(directory, "link");
    struct bundle_parts p = parts();
    assert_int_equal(bundle_write(path, &p, &e), 0);
    put(path, "left_over.txt", "of the old bundle");
    p.card = "# New\n";
    assert_int_equal(symlink(path, link), 0);
    if (bundle_write(link, &p, &e))
        fail_msg("%s", e.message);
    expect_entries(path, "README.md config.json inference_config.json model.safetensors special_tokens_map.json tokenizer.json "
                         "tokenizer_config.json vocab.txt ");
    expect_entries(directory, "bundle link model trained.safetensors ");
    char *card_path = path_join(path, "README.md"), *card;
    size_t size;
    assert_int_equal(file_read(&card, &size, card_path, &e), 0);
    assert_string_equal(card, "# New\n");
    free(card);
    free(card_path);
    free(path);
    free(link);
}

static void expect_failure(const struct bundle_parts *p, enum error_kind kind, const char *words)
{
    struct error e = {0};
    char *path = path_join(directory, "bundle");
    if (!bundle_write(path, p, &e))
        fail_msg("expected a failure (%s)", words);
    if (e.kind != kind || !strstr(e.message, words))
        fail_msg("expected kind %d and '%s', found kind %d, '%s'", kind, words, e.kind, e.message);
    free(path);
}

static void a_failure_keeps_the_old_bundle(void **state)
{
    (void)state;
    struct error e = {0};
    char *path = path_join(directory, "bundle"), *other = path_join(directory, "other.safetensors");
    static const char *const same[] = {"A", "A"}, *const empty[] = {"A", ""};
    struct bundle_parts p = parts();
    assert_int_equal(bundle_write(path, &p, &e), 0);
    p.label_names = same;
    expect_failure(&p, ERROR_USAGE, "labels 0 and 1 have the same name A");
    p.label_names = empty;
    expect_failure(&p, ERROR_USAGE, "label 1 has an empty name");
    p = parts();
    p.weights = "no/such/file";
    expect_failure(&p, ERROR_DATA, "no/such/file");
    p.weights = other;
    assert_int_equal(write_weights(other, NULL, &e), 0);
    expect_failure(&p, ERROR_DATA, "format=pt");
    p = parts();
    struct model_config three = config;
    three.labels = 3;
    p.model = &three;
    static const char *const three_names[] = {"A", "B", "C"};
    p.label_names = three_names;
    expect_failure(&p, ERROR_DATA, "no classifier.weight of 3 labels");
    p = parts();
    struct json *wrong = parse("{\"threshold\":1.5,\"max_length\":32}");
    p.inference = wrong;
    expect_failure(&p, ERROR_DATA, "threshold must be a number within 0 to 1");
    json_destroy(&wrong);
    unlink(other);
    expect_entries(directory, "bundle model trained.safetensors ");
    struct bundle *b;
    assert_int_equal(bundle_open(&b, path, &e), 0);
    bundle_close(&b);
    free(path);
    free(other);
}

static void touches_nothing_but_bundles(void **state)
{
    (void)state;
    struct error e = {0};
    struct bundle_parts p = parts();
    char *path = path_join(directory, "bundle");
    put(path, "thesis.txt", "years of work");
    expect_failure(&p, ERROR_USAGE, "is not a bundle");
    expect_entries(path, "thesis.txt ");
    assert_int_equal(directory_remove(path, &e), 0);
    put(directory, "bundle", "a file");
    expect_failure(&p, ERROR_USAGE, "is not a bundle");
    unlink(path);
    assert_int_equal(directory_create(path, &e), 0); /* an empty directory is fine */
    assert_int_equal(bundle_write(path, &p, &e), 0);
    free(path);
}

static void refuses_wrong_decisions(void **state)
{
    (void)state;
#define MAPS "\"id2label\":{\"0\":\"A\",\"1\":\"B\"},\"label2id\":{\"A\":0,\"B\":1}"
    static const struct {
        const char *text;
        bool multi;
        const char *words; /* NULL: legal */
    } cases[] = {
        {"{" MAPS ",\"max_length\":64}", false, NULL},
        {"{" MAPS ",\"max_length\":3,\"threshold\":0,\"temperature\":1e-6,\"positive\":\"A\"}", false, NULL},
        {"{" MAPS ",\"max_length\":64,\"thresholds\":{\"A\":0,\"B\":1}}", true, NULL},
        {"{" MAPS ",\"max_length\":65}", false, "max_length must be a whole number within 3 to 64"},
        {"{" MAPS ",\"max_length\":2}", false, "max_length"},
        {"{" MAPS ",\"max_length\":10.5}", false, "max_length"},
        {"{" MAPS "}", false, "max_length"},
        {"{" MAPS ",\"max_length\":64,\"temperature\":0}", false, "temperature must be a number above 0"},
        {"{" MAPS ",\"max_length\":64,\"temperature\":-1}", false, "temperature"},
        {"{" MAPS ",\"max_length\":64,\"temperature\":\"1\"}", false, "temperature"},
        {"{" MAPS ",\"max_length\":64,\"temperature\":1e-320}", false, "temperature must be a number above 0, from 1e-6"},
        {"{" MAPS ",\"max_length\":64,\"temperature\":1e300}", false, "to 1e6"},
        {"{" MAPS ",\"max_length\":64,\"threshold\":1.01}", false, "threshold must be"},
        {"{" MAPS ",\"max_length\":64,\"threshold\":-0.01}", false, "threshold must be"},
        {"{" MAPS ",\"max_length\":64,\"threshold\":null}", false, "threshold must be"},
        {"{" MAPS ",\"max_length\":64,\"thresholds\":{\"A\":0,\"B\":1}}", false, "of a multi-label model"},
        {"{" MAPS ",\"max_length\":64,\"thresholds\":{\"A\":0}}", true, "thresholds must have one number for each of 2 labels"},
        {"{" MAPS ",\"max_length\":64,\"thresholds\":{\"A\":0,\"C\":1}}", true, "thresholds: B must be"},
        {"{" MAPS ",\"max_length\":64,\"positive\":\"C\"}", false, "positive must be one of the labels, not C"},
        {"{\"id2label\":{\"0\":\"B\",\"1\":\"A\"},\"label2id\":{\"A\":0,\"B\":1},\"max_length\":64}", false,
         "label 0 is B here and A in"},
        {"{\"id2label\":{\"0\":\"A\"},\"label2id\":{\"A\":0},\"max_length\":64}", false, "must have the 2 labels"},
        {"{\"id2label\":{\"0\":\"A\",\"1\":\"B\"},\"label2id\":{\"A\":0,\"B\":0},\"max_length\":64}", false,
         "label2id: B must be 1"},
        {"{\"max_length\":64}", false, "must have the 2 labels"},
        {"[]", false, "is not a JSON object"},
    };
    char a[] = "A", b[] = "B", *both[] = {a, b};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct label_set labels = {both, 2, cases[i].multi};
        struct decision_rule d;
        struct error e = {0};
        struct json *j = parse(cases[i].text);
        int result = decision_rule_read(&d, j, &labels, POSITIONS, "inference_config.json", &e);
        json_destroy(&j);
        if (!cases[i].words && result)
            fail_msg("expected %s to be read, found: %s", cases[i].text, e.message);
        if (cases[i].words && (!result || e.kind != ERROR_DATA || !strstr(e.message, cases[i].words)))
            fail_msg("for %s\nexpected kind 3 and '%s'\n   found '%s'", cases[i].text, cases[i].words,
                     result ? e.message : "acceptance");
        if (!result)
            decision_rule_free(&d);
    }
}

static void expect_no_bundle(const char *path, const char *words)
{
    struct bundle *b;
    struct error e = {0};
    if (!bundle_open(&b, path, &e))
        fail_msg("expected a refusal (%s)", words);
    if (e.kind != ERROR_DATA || !strstr(e.message, words))
        fail_msg("expected kind 3 and '%s', found kind %d, '%s'", words, e.kind, e.message);
}

static void says_what_a_directory_lacks(void **state)
{
    (void)state;
    struct error e = {0};
    struct bundle_parts p = parts();
    expect_no_bundle("no/such/folder", "does not exist");
    expect_no_bundle(weights, "not a directory");
    expect_no_bundle(model, "is not a bundle: it has no inference_config.json");
    char *path = path_join(directory, "bundle"), *file = path_join(path, "model.safetensors");
    assert_int_equal(bundle_write(path, &p, &e), 0);
    unlink(file);
    expect_no_bundle(path, "holds no model.safetensors");
    put(path, "model.safetensors", "");
    put(path, "config.json", "{\"model_type\":\"gpt2\"}");
    expect_no_bundle(path, "model_type is gpt2");
    put(path, "config.json", config_text); /* the pretrained one has no labels */
    expect_no_bundle(path, "has no id2label");
    free(path);
    free(file);
}

static void sets_the_rule_of_a_bundle(void **state)
{
    (void)state;
    struct error e = {0};
    struct bundle *b;
    struct bundle_parts p = parts();
    char *path = path_join(directory, "bundle");
    assert_int_equal(bundle_write(path, &p, &e), 0);
    assert_int_equal(bundle_open(&b, path, &e), 0);
    struct json *changed = json_copy(bundle_inference(b));
    bundle_close(&b);
    json_set_number(changed, "threshold", 7);
    assert_int_equal(bundle_set_inference(path, changed, &e), -1);
    assert_int_equal(e.kind, ERROR_DATA);
    json_set_number(changed, "threshold", 0.75);
    assert_int_equal(bundle_set_inference(path, changed, &e), 0);
    assert_int_equal(bundle_open(&b, path, &e), 0);
    assert_true(bundle_decision(b)->thresholds[1] == 0.75);
    bundle_close(&b);
    json_destroy(&changed);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(is_read_back_as_written, setup, teardown),
        cmocka_unit_test_setup_teardown(replaces_a_bundle_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failure_keeps_the_old_bundle, setup, teardown),
        cmocka_unit_test_setup_teardown(touches_nothing_but_bundles, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses_wrong_decisions, setup, teardown),
        cmocka_unit_test_setup_teardown(says_what_a_directory_lacks, setup, teardown),
        cmocka_unit_test_setup_teardown(sets_the_rule_of_a_bundle, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
