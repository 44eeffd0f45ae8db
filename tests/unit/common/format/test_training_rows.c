/* SPDX-License-Identifier: Apache-2.0 */
/* known_rows.bin: rows are known again by their tokens, whatever their ids; damage is named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/format/training_rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH "test_known.bin"
#define ROWS_PATH "test_known.rows"

/* Row i: tokens {tokens[i], 5}; ids from `prefix`. */
static struct dataset *make_rows(const char *prefix, const int32_t *tokens, int count, uint32_t first)
{
    struct error e;
    struct dataset_writer *w;
    struct dataset *d;
    assert_int_equal(dataset_writer_create(&w, ROWS_PATH, 2, false, &e), 0);
    for (int i = 0; i < count; i++) {
        char id[32];
        const int32_t ids[] = {tokens[i], 5};
        snprintf(id, sizeof id, "%s-%d", prefix, i);
        assert_int_equal(dataset_writer_append(w, id, "g", i % 2, NULL, (struct token_row){ids, 2, first}, &e), 0);
    }
    assert_int_equal(dataset_writer_commit(&w, &e), 0);
    if (dataset_open(&d, ROWS_PATH, &e))
        fail_msg("%s", e.message);
    return d;
}

static struct training_rows *make_known(void)
{
    /* Rows 3 and 4 say the same in train and in test. */
    static const int32_t tokens[] = {11, 12, 13, 14, 14, 15};
    static uint32_t train[] = {0, 3}, validation[] = {1}, test[] = {2, 4};
    struct dataset *d = make_rows("run", tokens, 6, 1);
    struct split s = {.part = {{train, 2}, {validation, 1}, {test, 2}}};
    struct training_rows *k;
    training_rows_make(&k, d, &s);
    dataset_close(&d);
    return k;
}

static void finds_rows_by_their_tokens(void **state)
{
    (void)state;
    static const int32_t tokens[] = {13, 16, 14, 12, 11, 15};
    static const enum part expected[] = {PART_TEST, PART_COUNT, PART_TRAIN, PART_VALIDATION, PART_TRAIN, PART_COUNT};
    struct error e = {0};
    struct training_rows *made = make_known(), *k;
    if (training_rows_write(PATH, made, &e) || training_rows_read(&k, PATH, &e))
        fail_msg("%s", e.message);
    struct dataset *d = make_rows("other", tokens, 6, 1);
    for (uint32_t i = 0; i < 6; i++)
        if (training_rows_find(k, d, i) != expected[i])
            fail_msg("row %u: expected part %d, found %d", i, expected[i], training_rows_find(k, d, i));
    dataset_close(&d);
    d = make_rows("pairs", tokens, 6, 2); /* the same tokens, divided elsewhere into text A and B */
    for (uint32_t i = 0; i < 6; i++)
        assert_int_equal(training_rows_find(k, d, i), PART_COUNT);
    dataset_close(&d);
    training_rows_destroy(&k);
    training_rows_destroy(&k);
    training_rows_destroy(&made);
}

static void tells_damage(void **state)
{
    (void)state;
    struct error e = {0};
    struct training_rows *k = make_known();
    char *bytes;
    size_t size;
    assert_int_equal(training_rows_write(PATH, k, &e), 0);
    training_rows_destroy(&k);
    assert_int_equal(file_read(&bytes, &size, PATH, &e), 0);
    assert_int_equal(size, 8 + 3 * 8 + 5 * 8);
    for (size_t cut = 0; cut < size; cut++) {
        assert_int_equal(file_write(PATH, bytes, cut, &e), 0);
        if (training_rows_read(&k, PATH, &e) == 0)
            fail_msg("a file of %zu of %zu bytes was read", cut, size);
        assert_true(e.kind == ERROR_DATA && strstr(e.message, PATH ": is damaged"));
    }
    memset(bytes + 8, 0xff, 8); /* a count beyond all memory */
    assert_int_equal(file_write(PATH, bytes, size, &e), 0);
    assert_int_equal(training_rows_read(&k, PATH, &e), -1);
    free(bytes);
    assert_int_equal(training_rows_read(&k, "nowhere.bin", &e), -1);
    assert_true(e.kind == ERROR_DATA);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(finds_rows_by_their_tokens), cmocka_unit_test(tells_damage)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
