/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of the head of a base model, by its config.json and the shapes of its weights. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/format/model_tensors.h"
#include "coordinator/data/base_head.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIRECTORY "test_base_head_model"
#define CONFIG DIRECTORY "/config.json"
#define WEIGHTS DIRECTORY "/model.safetensors"
#define WIDTH 4
#define WORDS 3
#define TENSORS 25

static const float zeros[WIDTH * 8];

static struct tensor tensor_of(const char *name, int dimensions, int64_t rows)
{
    size_t count = (size_t)rows * (dimensions == 2 ? WIDTH : 1);
    return (struct tensor){.name = name,
                           .type = TENSOR_F32,
                           .dimensions = dimensions,
                           .shape = {rows, WIDTH},
                           .count = count,
                           .data = zeros,
                           .size = count * sizeof(float)};
}

static const struct model_config sizes = {
    .layers = 1, .width = WIDTH, .heads = 1, .inner = WIDTH, .vocabulary = WORDS, .positions = 4, .types = 2, .labels = 1};

/* All but the head. */
static size_t list_encoder(struct tensor *list, struct model_tensor *tensors)
{
    size_t count = 0, all = model_tensors(tensors, &sizes);
    assert_int_equal(all, TENSORS);
    for (size_t i = 0; i < all; i++)
        if (tensors[i].bucket != 2)
            list[count++] = tensor_of(tensors[i].name, tensors[i].dimensions, (int64_t)tensors[i].shape[0]);
    return count;
}

/* rows: of the classifier, 0: none; -1: its bias alone. */
static void write_model(const char *more, int rows)
{
    struct error e = {0};
    char *config = format_string("{\"model_type\":\"bert\",\"vocab_size\":%d,\"hidden_size\":%d,\"num_attention_heads\":1,"
                                 "\"num_hidden_layers\":1,\"intermediate_size\":%d,\"max_position_embeddings\":4%s}",
                                 WORDS, WIDTH, WIDTH, more);
    struct model_tensor tensors[TENSORS];
    struct tensor list[TENSORS];
    size_t count = list_encoder(list, tensors);
    if (rows > 0)
        list[count++] = tensor_of("classifier.weight", 2, rows);
    if (rows != 0)
        list[count++] = tensor_of("classifier.bias", 1, rows > 0 ? rows : 2);
    mkdir(DIRECTORY, 0777);
    assert_int_equal(file_write(CONFIG, config, strlen(config), &e), 0);
    assert_int_equal(safetensors_write(WEIGHTS, list, count, NULL, &e), 0);
    free(config);
}

static const char *const two[] = {"neg", "pos"};
static const char *const three[] = {"a", "b", "c"};
#define NAMES(list) ",\"id2label\":{" list "}"

static const struct {
    const char *config;
    int rows;
    const char *const *labels;
    uint32_t count;
    bool made_new;
    double order[3]; /* the order that is asked for; all 0: none */
    const char *words;
    bool kept;
} cases[] = {
    {NAMES("\"0\":\"neg\",\"1\":\"pos\""), 2, two, 2, false, {0}, "kept from the base, whose labels are the job's", true},
    {NAMES("\"0\":\"pos\",\"1\":\"neg\""), 2, two, 2, false, {1, 0}, "rows permuted: neg from row 1, pos from row 0", true},
    {NAMES("\"0\":\"c\",\"1\":\"a\",\"2\":\"b\""),
     3,
     three,
     3,
     false,
     {1, 2, 0},
     "a from row 1, b from row 2, c from row 0",
     true},
    {NAMES("\"2\":\"b\",\"1\":\"a\",\"0\":\"c\""), 3, three, 3, false, {1, 2, 0}, "rows permuted", true},
    {NAMES("\"0\":\"c\",\"1\":\"a\",\"2\":\"b\"") ",\"problem_type\":\"multi_label_classification\"",
     3,
     three,
     3,
     false,
     {1, 2, 0},
     "rows permuted",
     true},
    {",\"id2label\":[\"pos\",\"neg\"]", 2, two, 2, false, {1, 0}, "rows permuted", true},
    {",\"label2id\":{\"neg\":1,\"pos\":0}", 2, two, 2, false, {1, 0}, "rows permuted", true},
    {",\"label2id\":{\"neg\":0,\"pos\":7}", 2, two, 2, true, {0}, "does not name its 2 rows 0 to 1", false},
    {NAMES("\"0\":\"LABEL_0\",\"1\":\"LABEL_1\""), 2, two, 2, false, {0}, "by index: its label names are generic", true},
    {"", 2, two, 2, false, {0}, "its row 0 is taken for neg, 1 for pos", true},
    {",\"id2label\":null", 2, two, 2, false, {0}, "by index", true},
    {NAMES("\"0\":\"POS\",\"1\":\"NEG\""), 2, two, 2, true, {0}, "new: the labels differ", false},
    {NAMES("\"0\":\"neg\",\"1\":\"neg\""), 2, two, 2, true, {0}, "exactly one must be \"neg\"", false},
    {NAMES("\"1\":\"neg\",\"2\":\"pos\""), 2, two, 2, true, {0}, "does not name its 2 rows 0 to 1", false},
    {NAMES("\"0\":0,\"1\":1"), 2, two, 2, true, {0}, "new: the labels differ", false},
    {NAMES("\"0\":\"a\",\"1\":\"b\",\"2\":\"c\""), 3, two, 2, true, {0}, "the base's head has 3 labels, the job 2", false},
    {NAMES("\"0\":\"LABEL_0\""), 1, two, 2, true, {0}, "the base's head has 1 label, the job 2", false},
    {",\"problem_type\":\"regression\"", 2, two, 2, true, {0}, "problem_type is regression", false},
    {",\"problem_type\":\"ranking\"", 2, two, 2, true, {0}, "problem_type is ranking", false},
    {",\"architectures\":[\"BertForTokenClassification\"]",
     2,
     two,
     2,
     true,
     {0},
     "new: the base is a BertForTokenClassification",
     false},
    {",\"architectures\":[\"BertForSequenceClassification\"]", 2, two, 2, false, {0}, "by index", true},
    {",\"problem_type\":\"multi_label_classification\"", 2, two, 2, false, {0}, "by index", true},
    {NAMES("\"0\":\"neg\",\"1\":\"pos\""), 0, two, 2, false, {0}, "new: the base's weights have none", false},
    {NAMES("\"0\":\"neg\",\"1\":\"pos\""), -1, two, 2, true, {0}, "new: the base's weights have none", false},
};

static void test_cases(void **state)
{
    (void)state;
    static const double none[3];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct base_head h;
        struct error e = {0};
        write_model(cases[i].config, cases[i].rows);
        if (base_head_decide(&h, "auto", DIRECTORY, cases[i].labels, cases[i].count, &e))
            fail_msg("case %zu: %s", i, e.message);
        if (!strstr(h.text, cases[i].words))
            fail_msg("case %zu: expected words: %s; found: %s", i, cases[i].words, h.text);
        assert_int_equal(h.made_new, cases[i].made_new);
        bool ordered = memcmp(cases[i].order, none, sizeof none) != 0;
        assert_int_equal(h.rows != NULL, ordered);
        if (ordered)
            assert_memory_equal(h.rows, cases[i].order, cases[i].count * sizeof(double));
        base_head_free(&h);
        int result = base_head_decide(&h, "keep", DIRECTORY, cases[i].labels, cases[i].count, &e);
        assert_int_equal(result, cases[i].kept ? 0 : -1);
        if (result) {
            assert_int_equal(e.kind, ERROR_USAGE);
            assert_non_null(strstr(e.message, "train.head is keep, but the head cannot be kept: "));
        } else
            base_head_free(&h);
        assert_int_equal(base_head_decide(&h, "new", DIRECTORY, cases[i].labels, cases[i].count, &e), 0);
        assert_int_equal(h.made_new, cases[i].rows != 0);
        assert_null(h.rows);
        base_head_free(&h);
    }
}

/* Numbers as names are those numbers' digits. */
static void test_number_names(void **state)
{
    (void)state;
    static const char *const numbers[] = {"1", "0"};
    struct base_head h;
    struct error e = {0};
    write_model(NAMES("\"0\":0,\"1\":1"), 2);
    assert_int_equal(base_head_decide(&h, "keep", DIRECTORY, numbers, 2, &e), 0);
    assert_true(h.rows && h.rows[0] == 1 && h.rows[1] == 0);
    base_head_free(&h);
}

static void expect_refusal(const char *words)
{
    struct base_head h;
    struct error e = {0};
    assert_int_equal(base_head_decide(&h, "auto", DIRECTORY, two, 2, &e), -1);
    if (!strstr(e.message, words))
        fail_msg("expected words: %s; found: %s", words, e.message);
}

static void test_refusals(void **state)
{
    (void)state;
    static const char pointer[] = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n";
    struct error e = {0};
    write_model("", 2);
    struct tensor odd = tensor_of("bert.embeddings.word_embeddings.weight", 2, WORDS + 1);
    assert_int_equal(safetensors_write(WEIGHTS, &odd, 1, NULL, &e), 0);
    expect_refusal(
        "has shape (4, 4), but config.json makes it (3, 4) (vocab_size and the width); they belong to different models");
    struct model_tensor tensors[TENSORS];
    struct tensor list[TENSORS];
    size_t count = list_encoder(list, tensors);
    for (size_t i = 0; i < count; i++)
        if (tensors[i].role == ROLE_POSITIONS)
            list[i].shape[0] = 5;
    list[0].count = 20, list[0].size = 80;
    assert_int_equal(safetensors_write(WEIGHTS, list, count, NULL, &e), 0);
    expect_refusal("position_embeddings.weight has shape (5, 4), but config.json makes it (4, 4)");
    odd.name = "0.auto_model.embeddings.word_embeddings.weight";
    assert_int_equal(safetensors_write(WEIGHTS, &odd, 1, NULL, &e), 0);
    expect_refusal("there is one behind the prefix \"0.auto_model.\"");
    assert_int_equal(file_write(WEIGHTS, pointer, sizeof pointer - 1, &e), 0);
    expect_refusal("is a Git LFS pointer");
    unlink(WEIGHTS);
    expect_refusal("holds no weights");
    unlink(CONFIG);
    rmdir(DIRECTORY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_number_names),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
