/* SPDX-License-Identifier: Apache-2.0 */
/* Folds of a cross-validation: groups stay whole, the same again by the same seed, and as even as scikit-learn's
 * (tests/golden/data_folds.json). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/memory.h"
#include "coordinator/data/folds.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH "test_folds.rows"
#define CLASSES_MOST 8
#define FOLDS_MOST 16

/* The case's rows, then ten rows of test, whose groups and labels must not count. */
static struct dataset *make_rows(const struct json *c, uint32_t *rows)
{
    struct dataset_writer *w;
    struct dataset *d;
    struct error e;
    static const int32_t ids[3] = {2, 5, 3};
    const struct json *labels = json_get(c, "labels"), *groups = json_get(c, "groups");
    *rows = (uint32_t)json_size(labels);
    assert_int_equal(dataset_writer_create(&w, PATH, (uint32_t)json_number(json_get(c, "classes")), false, &e), 0);
    for (uint32_t i = 0; i < *rows + 10; i++) {
        char id[16], group[16];
        snprintf(id, sizeof id, "%u", i);
        snprintf(group, sizeof group, "%.0f", i < *rows ? json_number(json_at(groups, i)) : 1e6 + i);
        int32_t class = i < *rows ? (int32_t)json_number(json_at(labels, i)) : 0;
        assert_int_equal(dataset_writer_append(w, id, group, class, NULL, (struct token_row){ids, 3, 3}, &e), 0);
    }
    assert_int_equal(dataset_writer_commit(&w, &e), 0);
    assert_int_equal(dataset_open(&d, PATH, &e), 0);
    return d;
}

/* Every third row of the case in validation, the others in train. */
static void split_rows(struct split *s, uint32_t rows)
{
    *s = (struct split){0};
    for (int p = 0; p < PART_COUNT; p++)
        s->part[p].rows = allocate(rows + 10, sizeof(uint32_t));
    for (uint32_t i = 0; i < rows + 10; i++) {
        enum part p = i >= rows ? PART_TEST : i % 3 ? PART_TRAIN : PART_VALIDATION;
        s->part[p].rows[s->part[p].count++] = i;
    }
}

static void check_even(const struct json *c, const uint32_t *fold_of, const struct dataset *d, uint32_t rows)
{
    uint32_t folds = (uint32_t)json_number(json_get(c, "folds")), classes = dataset_labels(d);
    uint32_t counts[FOLDS_MOST][CLASSES_MOST] = {{0}}, size[FOLDS_MOST] = {0}, all[CLASSES_MOST] = {0}, least = rows, most = 0;
    double farthest = 0;
    for (uint32_t i = 0; i < rows; i++) {
        assert_in_range(fold_of[i], 0, folds - 1);
        counts[fold_of[i]][dataset_class(d, i)]++;
        all[dataset_class(d, i)]++;
        size[fold_of[i]]++;
    }
    for (uint32_t f = 0; f < folds; f++) {
        least = size[f] < least ? size[f] : least;
        most = size[f] > most ? size[f] : most;
        for (uint32_t l = 0; l < classes; l++)
            farthest = fmax(farthest, fabs(counts[f][l] - (double)all[l] / folds));
    }
    double theirs = json_number(json_get(c, "farthest"));
    bool single = strstr(json_string(json_get(c, "name")), "groups") == NULL;
    if (single ? farthest >= 1 || most - least > 1 : farthest > theirs)
        fail_msg("%s: folds of %u to %u rows, a label %.2f rows from its share; scikit-learn's: %.2f",
                 json_string(json_get(c, "name")), least, most, farthest, theirs);
}

static void check_case(const struct json *c)
{
    uint32_t rows, *fold_of, *again, *other;
    struct dataset *d = make_rows(c, &rows);
    struct split s, fold;
    struct error e = {0};
    struct job j = {.seed = 7, .split.folds = (uint32_t)json_number(json_get(c, "folds"))};
    split_rows(&s, rows);
    assert_int_equal(data_folds(&fold_of, &j, d, &s, &e), 0);
    assert_int_equal(data_folds(&again, &j, d, &s, &e), 0);
    j.seed = 8;
    assert_int_equal(data_folds(&other, &j, d, &s, &e), 0);
    assert_memory_equal(fold_of, again, (rows + 10) * sizeof *fold_of);
    assert_memory_not_equal(fold_of, other, rows * sizeof *fold_of);
    for (uint32_t i = 1; i < rows; i++)
        if (strcmp(dataset_group(d, i), dataset_group(d, i - 1)) == 0)
            assert_int_equal(fold_of[i], fold_of[i - 1]);
    for (uint32_t i = rows; i < rows + 10; i++)
        assert_int_equal(fold_of[i], NO_FOLD);
    check_even(c, fold_of, d, rows);
    check_even(c, other, d, rows);
    folds_split(&fold, fold_of, 1, d);
    assert_int_equal(fold.part[PART_TRAIN].count + fold.part[PART_VALIDATION].count, rows);
    assert_int_equal(fold.part[PART_TEST].count, 10);
    for (uint32_t i = 0; i < fold.part[PART_VALIDATION].count; i++)
        assert_int_equal(fold_of[fold.part[PART_VALIDATION].rows[i]], 1);
    split_free(&fold);
    folds_whole(&fold, fold_of, d);
    assert_int_equal(fold.part[PART_TRAIN].count, rows);
    assert_int_equal(fold.part[PART_VALIDATION].count, 0);
    folds_validate_out_of_fold(&fold);
    assert_int_equal(fold.part[PART_VALIDATION].count, rows);
    split_free(&fold);
    split_free(&s);
    free(other);
    free(again);
    free(fold_of);
    dataset_close(&d);
}

static void as_even_as_scikit_learn(void **state)
{
    (void)state;
    struct json *golden;
    struct error e;
    if (json_read(&golden, TEST_GOLDEN "/data_folds.json", &e))
        fail_msg("%s", e.message);
    const struct json *cases = json_get(golden, "cases");
    assert_true(json_size(cases) >= 5);
    for (size_t i = 0; i < json_size(cases); i++)
        check_case(json_at(cases, i));
    json_destroy(&golden);
}

static void fewer_groups_than_folds(void **state)
{
    (void)state;
    struct json *c;
    struct error e = {0};
    static const char text[] = "{\"classes\": 2, \"labels\": [0, 1, 0, 1, 0, 1], \"groups\": [0, 0, 1, 1, 2, 2]}";
    uint32_t rows, *fold_of;
    assert_int_equal(json_parse(&c, text, strlen(text), "c", &e), 0);
    struct dataset *d = make_rows(c, &rows);
    struct split s;
    struct job j = {.seed = 7, .split.folds = 4, .data.group = (char[]){"paper"}};
    split_rows(&s, rows);
    assert_int_equal(data_folds(&fold_of, &j, d, &s, &e), -1);
    assert_int_equal(e.kind, ERROR_DATA);
    assert_string_equal(e.message,
                        "split.folds 4: the train and validation parts have only 3 groups (data.group: paper), and a fold "
                        "needs one at least; use fewer folds");
    j.split.folds = 3;
    assert_int_equal(data_folds(&fold_of, &j, d, &s, &e), 0);
    assert_int_equal(fold_of[0] + fold_of[2] + fold_of[4], 3);
    free(fold_of);
    split_free(&s);
    dataset_close(&d);
    json_destroy(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(as_even_as_scikit_learn), cmocka_unit_test(fewer_groups_than_folds)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    remove(PATH);
    return failed;
}
