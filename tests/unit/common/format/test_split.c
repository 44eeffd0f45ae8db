/* SPDX-License-Identifier: Apache-2.0 */
/* split.json: written, read back against the same rows, and refused against others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/base/sha256.h"
#include "common/format/split.h"
#include "common/json/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH "test_split.json"
#define ROWS_PATH "test_split.rows"
#define ROWS 10

static struct dataset *make_rows(const char *prefix, int32_t first_token)
{
    struct error e;
    struct dataset_writer *w;
    struct dataset *d;
    assert_int_equal(dataset_writer_create(&w, ROWS_PATH, 2, false, &e), 0);
    for (int i = 0; i < ROWS; i++) {
        char id[32];
        const int32_t ids[] = {first_token, i};
        snprintf(id, sizeof id, "%s-%d", prefix, i);
        assert_int_equal(dataset_writer_append(w, id, "g", i % 2, NULL, (struct token_row){ids, 2, 1}, &e), 0);
    }
    assert_int_equal(dataset_writer_commit(&w, &e), 0);
    if (dataset_open(&d, ROWS_PATH, &e))
        fail_msg("%s", e.message);
    return d;
}

static struct split make_split(void)
{
    struct split s = {.method = "numpy"};
    const uint32_t counts[PART_COUNT] = {6, 3, 1};
    for (int p = 0, row = 0; p < PART_COUNT; p++) {
        s.part[p].rows = allocate(counts[p], sizeof(uint32_t));
        for (uint32_t i = 0; i < counts[p]; i++)
            s.part[p].rows[s.part[p].count++] = (uint32_t)row++;
    }
    return s;
}

static void test_round_trip(void **state)
{
    (void)state;
    struct error e;
    struct dataset *d = make_rows("id", 7);
    struct split s = make_split(), read = {0};
    if (split_write(PATH, &s, d, &e) || split_read(&read, PATH, d, &e))
        fail_msg("%s", e.message);
    for (int p = 0; p < PART_COUNT; p++) {
        assert_int_equal(read.part[p].count, s.part[p].count);
        assert_memory_equal(read.part[p].rows, s.part[p].rows, s.part[p].count * sizeof(uint32_t));
    }
    assert_string_equal(read.method, "numpy");
    assert_string_equal(read.sha256, s.sha256);
    assert_int_equal(strlen(s.sha256), 64);
    split_free(&read);
    split_free(&read);
    dataset_close(&d);

    d = make_rows("id", 8); /* the same rows by another tokeniser: the split holds */
    if (split_read(&read, PATH, d, &e))
        fail_msg("%s", e.message);
    split_free(&read);
    split_free(&s);
    dataset_close(&d);
}

static void refused(const struct dataset *d, const char *text, const char *words)
{
    struct error e = {0};
    struct split s = {.method = "untouched"};
    assert_int_equal(file_write(PATH, text, strlen(text), &e), 0);
    if (!split_read(&s, PATH, d, &e))
        fail_msg("accepted: %s", text);
    assert_int_equal(e.kind, ERROR_DATA);
    assert_string_equal(s.method, "untouched");
    if (!strstr(e.message, words))
        fail_msg("expected \"%s\", found \"%s\"", words, e.message);
}

/* More rows than are listed by id: by number, small, and as strict. */
static void test_packed(void **state)
{
    (void)state;
    enum { MANY = SPLIT_LISTED + 3 };
    struct error e;
    struct dataset_writer *w;
    struct dataset *d;
    char id[32], *text;
    size_t size = 0;
    assert_int_equal(dataset_writer_create(&w, ROWS_PATH, 2, false, &e), 0);
    for (int i = 0; i < MANY; i++) {
        snprintf(id, sizeof id, "row %d", i);
        assert_int_equal(dataset_writer_append(w, id, "g", i % 2, NULL, (struct token_row){&(int32_t){i}, 1, 1}, &e), 0);
    }
    assert_int_equal(dataset_writer_commit(&w, &e), 0);
    assert_int_equal(dataset_open(&d, ROWS_PATH, &e), 0);
    struct split s = {.method = "muster"}, read = {0};
    for (int p = 0; p < PART_COUNT; p++)
        s.part[p].rows = allocate(MANY, sizeof(uint32_t));
    for (uint32_t i = 0; i < MANY; i++) {
        int p = i % 7 < 4 ? PART_TRAIN : i % 5 < 3 ? PART_TEST : PART_VALIDATION;
        s.part[p].rows[s.part[p].count++] = i;
    }
    if (split_write(PATH, &s, d, &e) || split_read(&read, PATH, d, &e) || file_read(&text, &size, PATH, &e))
        fail_msg("%s", e.message);
    assert_true(size < MANY / 3 + 1000);
    for (int p = 0; p < PART_COUNT; p++) {
        assert_int_equal(read.part[p].count, s.part[p].count);
        assert_memory_equal(read.part[p].rows, s.part[p].rows, s.part[p].count * sizeof(uint32_t));
    }
    assert_string_equal(read.sha256, s.sha256);
    split_free(&read);
    char *packed = strstr(text, "part_of") + 20, kept = packed[0];
    size_t other = strspn(packed, (char[]){kept, 0});
    packed[0] = packed[other]; /* other parts for some rows */
    packed[other] = kept;
    refused(d, text, "was changed after it was written");
    packed[0] = '*';
    refused(d, text, "part_of is damaged");
    strstr(text, "data_sha256")[0] = 'D';
    refused(d, text, "unknown key");
    free(text);
    split_free(&s);
    dataset_close(&d);
    d = make_rows("id", 7);
    refused(d, "{\"part_of\": \"AAAA\"}", "together with data_sha256");
    dataset_close(&d);
}

/* What a person with sha256sum would compute from the parts' names, sizes and ids. */
static void test_hash(void **state)
{
    (void)state;
    struct error e;
    struct dataset *d = make_rows("id", 7);
    struct split s = make_split();
    char expected[65];
    assert_int_equal(split_write(PATH, &s, d, &e), 0);
    const char bytes[] =
        "train\0\6\0\0\0id-0\0id-1\0id-2\0id-3\0id-4\0id-5\0validation\0\3\0\0\0id-6\0id-7\0id-8\0test\0\1\0\0\0id-9";
    sha256_bytes(bytes, sizeof bytes, expected);
    assert_string_equal(s.sha256, expected);
    split_free(&s);
    dataset_close(&d);
}

static void test_refused(void **state)
{
    (void)state;
    struct dataset *d = make_rows("id", 7);
#define REST "\"id-1\", \"id-2\", \"id-3\", \"id-4\", \"id-5\", \"id-6\", \"id-7\""
    refused(d, "[]", "is a list");
    refused(d, "{}", "parts.train must be a list");
    refused(d, "{\"parts\": {\"train\": [], \"validation\": []}}", "parts.test must be a list");
    refused(d, "{\"parts\": {\"train\": [], \"validation\": [], \"test\": [], \"tests\": []}}",
            "unknown part \"tests\"; did you mean 'test'?");
    refused(d, "{\"partz\": {}}", "did you mean 'parts'?");
    refused(d, "{\"parts\": {\"train\": [3], \"validation\": [], \"test\": []}}", "parts.train[0] is a number");
    refused(d, "{\"parts\": {\"train\": [" REST "], \"validation\": [\"id-10\"], \"test\": []}}",
            "parts.validation[0]: no row has the id \"id-10\"");
    refused(d, "{\"parts\": {\"train\": [" REST "], \"validation\": [\"id-0\", \"id-0\"], \"test\": []}}", "\"id-0\" twice");
    refused(d, "{\"parts\": {\"train\": [" REST "], \"validation\": [\"id-8\"], \"test\": [\"id-7\"]}}",
            "\"id-7\" is in train and in test");
    refused(d, "{\"parts\": {\"train\": [" REST "], \"validation\": [\"id-8\"], \"test\": []}}",
            "2 rows are in no part; the first has the id \"id-0\"");
    refused(d, "{\"data_sha256\": \"abc\", \"parts\": {}}", "was made from other data");
    refused(d, "{\"method\": \"a method with a long name\", \"parts\": {}}", "method");
    dataset_close(&d);
}

static void test_changed(void **state)
{
    (void)state;
    struct error e;
    struct dataset *d = make_rows("id", 7);
    struct split s = make_split(), read;
    assert_int_equal(split_write(PATH, &s, d, &e), 0);
    struct json *j;
    assert_int_equal(json_read(&j, PATH, &e), 0); /* two ids trade places by hand */
    const char *parts[] = {"train", "test"}, *ids[] = {"id-9", "id-0"};
    for (int p = 0; p < 2; p++) {
        struct json *list = json_array();
        const struct json *old = json_get(json_get(j, "parts"), parts[p]);
        json_append(list, json_of_string(ids[p]));
        for (size_t i = 1; i < json_size(old); i++)
            json_append(list, json_copy(json_at(old, i)));
        struct json *copy = json_copy(json_get(j, "parts"));
        json_set(copy, parts[p], list);
        json_set(j, "parts", copy);
    }
    assert_int_equal(json_write(PATH, j, &e), 0);
    json_destroy(&j);
    assert_int_equal(split_read(&read, PATH, d, &e), -1);
    assert_non_null(strstr(e.message, "was changed after it was written"));
    split_free(&s);
    dataset_close(&d);

    d = make_rows("other", 7);
    s = make_split();
    struct dataset *first = make_rows("id", 7);
    assert_int_equal(split_write(PATH, &s, first, &e), 0);
    assert_int_equal(split_read(&read, PATH, d, &e), -1);
    assert_non_null(strstr(e.message, "was made from other data"));
    assert_int_equal(e.kind, ERROR_DATA);
    split_free(&s);
    dataset_close(&first);
    dataset_close(&d);
    remove(PATH);
    remove(ROWS_PATH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_round_trip), cmocka_unit_test(test_packed),
                                       cmocka_unit_test(test_hash), cmocka_unit_test(test_refused),
                                       cmocka_unit_test(test_changed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
