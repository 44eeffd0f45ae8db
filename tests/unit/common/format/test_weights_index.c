/* SPDX-License-Identifier: Apache-2.0 */
/* Weights in several files: read as one; everything that is wrong with the index or a file is one line that names it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/format/weights_index.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIRECTORY "test_weights_index.tmp"
#define INDEX DIRECTORY "/model.safetensors.index.json"
#define FIRST DIRECTORY "/model-00001-of-00002.safetensors"
#define SECOND DIRECTORY "/model-00002-of-00002.safetensors"

static const float values[] = {1, 2, 3, 4, 5, 6, 7, 8};

static struct tensor tensor_of(const char *name, size_t from, size_t count)
{
    return (struct tensor){.name = name,
                           .type = TENSOR_F32,
                           .dimensions = 1,
                           .shape = {(int64_t)count},
                           .count = count,
                           .data = values + from,
                           .size = count * sizeof *values};
}

static void put_index(const char *text)
{
    struct error e = {0};
    assert_int_equal(file_write(INDEX, text, strlen(text), &e), 0);
}

static const char usual[] = "{\"metadata\":{\"total_size\":32},\"weight_map\":{\"a\":\"model-00001-of-00002.safetensors\","
                            "\"c\":\"model-00001-of-00002.safetensors\",\"b\":\"model-00002-of-00002.safetensors\"}}";

static void write_all(void)
{
    struct error e = {0};
    const struct tensor first[] = {tensor_of("a", 0, 3), tensor_of("c", 3, 1)}, second[] = {tensor_of("b", 4, 4)};
    mkdir(DIRECTORY, 0777);
    assert_int_equal(safetensors_write(FIRST, first, 2, NULL, &e), 0);
    assert_int_equal(safetensors_write(SECOND, second, 1, NULL, &e), 0);
    put_index(usual);
}

static void reads_all_files_as_one(void **state)
{
    (void)state;
    struct error e = {0};
    struct tensor_file *f;
    write_all();
    if (tensor_file_open(&f, INDEX, &e))
        fail_msg("%s", e.message);
    assert_int_equal(tensor_file_count(f), 3);
    assert_string_equal(tensor_file_at(f, 1)->name, "b");
    float found[4];
    assert_int_equal(tensor_to_f32(tensor_file_find(f, "b"), found, &e), 0);
    assert_memory_equal(found, values + 4, sizeof found);
    assert_int_equal(tensor_to_f32(tensor_file_find(f, "c"), found, &e), 0);
    assert_true(found[0] == 4);
    tensor_file_close(&f);
}

static void expect_refusal(const char *words)
{
    struct error e = {0};
    struct tensor_file *f = NULL;
    assert_int_equal(tensor_file_open(&f, INDEX, &e), -1);
    assert_null(f);
    assert_int_equal(e.kind, ERROR_DATA);
    if (!strstr(e.message, words))
        fail_msg("expected words: %s; found: %s", words, e.message);
}

static void names_what_is_wrong(void **state)
{
    (void)state;
    struct error e = {0};
    char *bytes;
    size_t size;
    write_all();
    put_index("{\"weight_map\":{\"a\":\"../model.safetensors\"}}");
    expect_refusal("the file of tensor a is not a name in this directory");
    put_index("{\"weight_map\":{\"a\":7}}");
    expect_refusal("the file of tensor a is not a name");
    put_index("{\"metadata\":{}}");
    expect_refusal("holds no weight_map");
    put_index("{\"weight_map\":{\"a\":");
    expect_refusal("model.safetensors.index.json");
    put_index("{\"weight_map\":{\"a\":\"model-00001-of-00002.safetensors\",\"d\":\"model-00002-of-00002.safetensors\"}}");
    expect_refusal("tensor d is not in model-00002-of-00002.safetensors, where this index has it");
    put_index(usual);
    assert_int_equal(file_read(&bytes, &size, SECOND, &e), 0);
    assert_int_equal(file_write(SECOND, bytes, size - 5, &e), 0);
    expect_refusal(SECOND);
    free(bytes);
    assert_int_equal(file_copy(FIRST, SECOND, &e), 0);
    expect_refusal("tensor a appears twice");
    unlink(SECOND);
    expect_refusal("model-00002-of-00002.safetensors: does not exist, but " INDEX " names it");
}

/* Of all files: another value in one of them is another model. */
static void the_digest_covers_all_files(void **state)
{
    (void)state;
    struct error e = {0};
    char before[SHA256_HEX], again[SHA256_HEX], after[SHA256_HEX];
    write_all();
    assert_int_equal(weights_sha256(INDEX, before, &e), 0);
    assert_int_equal(weights_sha256(INDEX, again, &e), 0);
    assert_string_equal(before, again);
    const struct tensor other = tensor_of("b", 3, 4);
    assert_int_equal(safetensors_write(SECOND, &other, 1, NULL, &e), 0);
    assert_int_equal(weights_sha256(INDEX, after, &e), 0);
    assert_string_not_equal(before, after);
    assert_int_equal(weights_sha256(FIRST, after, &e), 0);
    assert_int_equal(sha256_file(FIRST, again, &e), 0);
    assert_string_equal(after, again);
    unlink(SECOND);
    assert_int_equal(weights_sha256(INDEX, after, &e), -1);
    assert_non_null(strstr(e.message, "does not exist"));
}

static int clean(void **state)
{
    (void)state;
    unlink(INDEX);
    unlink(FIRST);
    unlink(SECOND);
    rmdir(DIRECTORY);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(reads_all_files_as_one, clean),
        cmocka_unit_test_teardown(names_what_is_wrong, clean),
        cmocka_unit_test_teardown(the_digest_covers_all_files, clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
