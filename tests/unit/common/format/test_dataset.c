/* SPDX-License-Identifier: Apache-2.0 */
/* The rows file: what is written comes back, equal rows give equal hashes, and no damaged file is opened. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/format/dataset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH "test_dataset.rows"
#define ROWS 1000
#define LABELS 5

struct expected {
    char id[32], group[32];
    int32_t class, tokens[40];
    float targets[LABELS];
    uint32_t length, first;
};

/* A row that can be told from all others, by its number alone. */
static struct expected expected_row(uint32_t i)
{
    struct expected x = {.class = (int32_t)(i % LABELS), .length = i * 31 % 40, .first = i * 31 % 40 / 3};
    snprintf(x.id, sizeof x.id, "row \xc3\xa9 %u", i);
    snprintf(x.group, sizeof x.group, "group-%u", i * 7 % 83);
    for (uint32_t k = 0; k < x.length; k++)
        x.tokens[k] = (int32_t)(i * 1000 + k);
    for (uint32_t k = 0; k < LABELS; k++)
        x.targets[k] = (i >> k & 1) != 0;
    return x;
}

static int append(struct dataset_writer *w, uint32_t i, bool multi, struct error *e)
{
    struct expected x = expected_row(i);
    struct token_row tokens = {x.tokens, x.length, x.first};
    return dataset_writer_append(w, x.id, x.group, multi ? -1 : x.class, multi ? x.targets : NULL, tokens, e);
}

static void write_rows(uint32_t rows, bool multi)
{
    struct error e;
    struct dataset_writer *w;
    assert_int_equal(dataset_writer_create(&w, PATH, LABELS, multi, &e), 0);
    for (uint32_t i = 0; i < rows; i++)
        if (append(w, i, multi, &e))
            fail_msg("%s", e.message);
    if (dataset_writer_commit(&w, &e))
        fail_msg("%s", e.message);
    assert_null(w);
}

static struct dataset *open_rows(void)
{
    struct error e;
    struct dataset *d;
    if (dataset_open(&d, PATH, &e))
        fail_msg("%s", e.message);
    return d;
}

static void check_round_trip(uint32_t rows, bool multi)
{
    write_rows(rows, multi);
    struct dataset *d = open_rows();
    assert_int_equal(dataset_rows(d), rows);
    assert_int_equal(dataset_labels(d), LABELS);
    assert_int_equal(dataset_is_multi(d), multi);
    for (uint32_t i = 0; i < rows; i++) {
        struct expected x = expected_row(i);
        struct token_row tokens = dataset_tokens(d, i);
        assert_string_equal(dataset_id(d, i), x.id);
        assert_string_equal(dataset_group(d, i), x.group);
        assert_int_equal(dataset_class(d, i), multi ? -1 : x.class);
        assert_int_equal(tokens.length, x.length);
        assert_int_equal(tokens.first, x.first);
        assert_memory_equal(tokens.ids, x.tokens, x.length * sizeof *x.tokens);
        if (multi)
            assert_memory_equal(dataset_targets(d, i), x.targets, sizeof x.targets);
        else
            assert_null(dataset_targets(d, i));
    }
    dataset_close(&d);
    assert_null(d);
}

static void test_round_trip(void **state)
{
    (void)state;
    check_round_trip(ROWS, false);
    check_round_trip(ROWS, true);
    check_round_trip(1, false);
    check_round_trip(0, false);
}

enum change { NOTHING, TOKEN, TOKENS_OF_FIRST, ID, GROUP, LABEL, CHANGES };

/* Both hashes of the rows with one thing changed in one of them. */
static void hashes_with(enum change change, char all[65], char rows[65])
{
    struct error e;
    struct dataset_writer *w;
    assert_int_equal(dataset_writer_create(&w, PATH, LABELS, false, &e), 0);
    for (uint32_t i = 0; i < ROWS; i++) {
        struct expected x = expected_row(i);
        enum change here = i == 500 ? change : NOTHING;
        x.tokens[3] += here == TOKEN;
        x.id[0] = here == ID ? 'R' : x.id[0];
        x.group[0] = here == GROUP ? 'G' : x.group[0];
        x.class = here == LABEL ? (x.class + 1) % LABELS : x.class;
        struct token_row tokens = {x.tokens, x.length, x.first + (here == TOKENS_OF_FIRST)};
        assert_int_equal(dataset_writer_append(w, x.id, x.group, x.class, NULL, tokens, &e), 0);
    }
    assert_int_equal(dataset_writer_commit(&w, &e), 0);
    struct dataset *d = open_rows();
    strcpy(all, dataset_sha256(d));
    strcpy(rows, dataset_rows_sha256(d));
    dataset_close(&d);
}

static void test_hashes(void **state)
{
    (void)state;
    char all[65], rows[65], first_all[65], first_rows[65];
    hashes_with(NOTHING, first_all, first_rows);
    assert_int_equal(strlen(first_all), 64);
    assert_string_not_equal(first_all, first_rows);
    for (int change = NOTHING; change < CHANGES; change++) {
        hashes_with((enum change)change, all, rows);
        if ((strcmp(all, first_all) == 0) != (change == NOTHING))
            fail_msg("change %d: expected %s hash of all", change, change == NOTHING ? "the same" : "another");
        if ((strcmp(rows, first_rows) == 0) != (change < ID)) /* tokens are not the rows' own */
            fail_msg("change %d: expected %s hash of the rows", change, change < ID ? "the same" : "another");
    }
}

static void test_refused_rows(void **state)
{
    (void)state;
    struct error e;
    struct dataset_writer *w;
    const int32_t ids[] = {1, 2};
    struct token_row tokens = {ids, 2, 1};
    remove(PATH);
    assert_int_equal(dataset_writer_create(&w, PATH, 2, false, &e), 0);
    assert_int_equal(dataset_writer_append(w, "a", "g", 0, NULL, tokens, &e), 0);
    assert_int_equal(dataset_writer_append(w, "b", "g", 1, NULL, tokens, &e), 0);
    assert_int_equal(dataset_writer_append(w, "a", "g", 1, NULL, tokens, &e), -1);
    assert_int_equal(e.kind, ERROR_DATA);
    assert_string_equal(e.message, "the id \"a\" is that of row 0 and of row 2 (counted from 0); ids must differ");
    assert_int_equal(dataset_writer_append(w, "c", "g", 2, NULL, tokens, &e), -1);
    assert_int_equal(e.kind, ERROR_DATA);
    dataset_writer_destroy(&w);
    assert_null(w);
    assert_false(file_exists(PATH)); /* nothing half-written */
    assert_int_equal(dataset_writer_create(&w, "missing/folder.rows", 2, false, &e), -1);
    assert_int_equal(e.kind, ERROR_FAILED);
}

static void refused(const char *bytes, size_t size, const char *words)
{
    struct error e = {0};
    struct dataset *d = NULL;
    assert_int_equal(file_write(PATH, bytes, size, &e), 0);
    if (!dataset_open(&d, PATH, &e))
        fail_msg("opened, expected \"%s\"", words);
    assert_null(d);
    assert_int_equal(e.kind, ERROR_DATA);
    if (!strstr(e.message, words))
        fail_msg("expected \"%s\", found \"%s\"", words, e.message);
}

static void test_damage(void **state)
{
    (void)state;
    struct error e;
    char *bytes;
    size_t size;
    write_rows(100, false);
    assert_int_equal(file_read(&bytes, &size, PATH, &e), 0);
    refused(bytes, 0, "is not a rows file");
    refused(bytes, 100, "is not a rows file");
    refused(bytes, size - 1, "its size");
    refused("{\"a\": 1}\n", 9, "is not a rows file");
    bytes[8]++; /* version */
    refused(bytes, size, "another version");
    bytes[8]--;
    bytes[12]++; /* one row more than the sections hold */
    refused(bytes, size, "is damaged");
    bytes[12]--;
    bytes[19] ^= (char)0x80; /* more labels than a class can number */
    refused(bytes, size, "its header is inconsistent");
    bytes[19] ^= (char)0x80;
    bytes[size - 1] = 'x'; /* the NUL of the last group */
    refused(bytes, size, "an id or group");
    bytes[size - 1] = 0;
    /* Any byte of the header turned over: refused, or still a file whose every row can be read. */
    for (size_t i = 0; i < 256; i++)
        for (int bit = 0; bit < 8; bit += 7) {
            struct dataset *d = NULL;
            bytes[i] ^= (char)(1 << bit);
            assert_int_equal(file_write(PATH, bytes, size, &e), 0);
            uint64_t sum = 0;
            if (!dataset_open(&d, PATH, &e))
                for (uint32_t row = 0; row < dataset_rows(d); row++) {
                    struct token_row tokens = dataset_tokens(d, row);
                    for (uint32_t k = 0; k < tokens.length; k++)
                        sum += (uint32_t)tokens.ids[k];
                    sum += strlen(dataset_id(d, row)) + strlen(dataset_group(d, row));
                }
            assert_true(sum < UINT64_MAX);
            dataset_close(&d);
            bytes[i] ^= (char)(1 << bit);
        }
    free(bytes);
    remove(PATH);
    struct dataset *d;
    assert_int_equal(dataset_open(&d, PATH, &e), -1);
    assert_int_equal(e.kind, ERROR_DATA);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_round_trip), cmocka_unit_test(test_hashes),
                                       cmocka_unit_test(test_refused_rows), cmocka_unit_test(test_damage)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
