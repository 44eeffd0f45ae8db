/* SPDX-License-Identifier: Apache-2.0 */
/* Stratified splits: shares of labels, whole groups, the same again by the same ranks. */
#include "common/base/memory.h"
#include "common/format/split.h"
#include "coordinator/data/stratify.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PATH "test_stratify.rows"
#define ROWS 3000
#define LABELS 12

static const double share[PART_COUNT] = {0.7, 0.15, 0.15};

static uint32_t chance(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* Label c is on in about 1 row of 2^c; groups of 1 to `largest` rows. */
static struct dataset *make_rows(uint32_t *group_of, uint32_t *groups, uint32_t largest, bool multi)
{
    struct dataset_writer *w;
    struct dataset *d;
    struct error e;
    uint32_t state = 5, left = 0;
    static const int32_t ids[3] = {2, 5, 3};
    assert_int_equal(dataset_writer_create(&w, PATH, LABELS, multi, &e), 0);
    *groups = 0;
    for (uint32_t i = 0; i < ROWS; i++, left--) {
        char id[16], group[16];
        float targets[LABELS];
        int32_t class = 0;
        if (left == 0) {
            left = 1 + chance(&state) % largest;
            ++*groups;
        }
        group_of[i] = *groups - 1;
        for (int c = 0; c < LABELS; c++)
            targets[c] = chance(&state) % (1u << c) == 0;
        while (class < LABELS - 1 && chance(&state) % 2)
            class ++;
        snprintf(id, sizeof id, "%u", i);
        snprintf(group, sizeof group, "%u", group_of[i]);
        assert_int_equal(
            dataset_writer_append(w, id, group, multi ? -1 : class, multi ? targets : NULL, (struct token_row){ids, 3, 3}, &e),
            0);
    }
    assert_int_equal(dataset_writer_commit(&w, &e), 0);
    assert_int_equal(dataset_open(&d, PATH, &e), 0);
    return d;
}

static bool has(const struct dataset *d, uint32_t row, int label)
{
    return dataset_is_multi(d) ? dataset_targets(d, row)[label] != 0 : dataset_class(d, row) == label;
}

/* The farthest that a part is from its share of a label's rows (or, label -1, of all rows), in rows. */
static double farthest(const struct dataset *d, const uint32_t *group_of, const uint32_t *part_of, int label)
{
    double found[PART_COUNT] = {0}, all = 0, worst = 0;
    for (uint32_t i = 0; i < ROWS; i++)
        if (label < 0 || has(d, i, label)) {
            found[part_of[group_of[i]]]++;
            all++;
        }
    for (int p = 0; p < PART_COUNT; p++)
        worst = fmax(worst, fabs(found[p] - share[p] * all));
    return worst;
}

static void check_shares(uint32_t largest, bool multi, double most_label, double most_rows)
{
    uint32_t *group_of = allocate(ROWS, sizeof *group_of), groups;
    struct dataset *d = make_rows(group_of, &groups, largest, multi);
    uint32_t *rank = allocate(groups, sizeof *rank);
    uint32_t *part_of = allocate(groups, sizeof *part_of), *again = allocate(groups, sizeof *again);
    for (uint32_t g = 0; g < groups; g++)
        rank[g] = groups - 1 - g;
    stratify(part_of, d, group_of, groups, rank, share, PART_COUNT);
    stratify(again, d, group_of, groups, rank, share, PART_COUNT);
    for (uint32_t g = 0; g < groups; g++) {
        assert_int_equal(part_of[g], again[g]);
        assert_in_range(part_of[g], 0, PART_COUNT - 1);
    }
    for (int c = -1; c < LABELS; c++) {
        double off = farthest(d, group_of, part_of, c), most = c < 0 ? most_rows : most_label;
        if (off > most)
            fail_msg("groups to %u, label %d: a part is %.1f rows from its share; at most %.1f expected", largest, c, off, most);
    }
    free(again);
    free(part_of);
    free(rank);
    dataset_close(&d);
    free(group_of);
}

static void single_labels_are_within_a_row(void **state)
{
    (void)state;
    check_shares(1, false, 1, 12);
}

static void many_labels_come_near(void **state)
{
    (void)state;
    check_shares(1, true, 4, 4);
}

static void groups_stay_whole_and_labels_near(void **state)
{
    (void)state;
    check_shares(6, false, 6, 20);
    check_shares(6, true, 12, 12);
}

static void nothing_but_rows_without_labels(void **state)
{
    (void)state;
    struct dataset_writer *w;
    struct dataset *d;
    struct error e;
    static const int32_t ids[3] = {2, 5, 3};
    static const float none[2] = {0};
    uint32_t group_of[20], rank[20], found[PART_COUNT] = {0};
    uint32_t part_of[20];
    assert_int_equal(dataset_writer_create(&w, PATH, 2, true, &e), 0);
    for (uint32_t i = 0; i < 20; i++) {
        char id[8];
        snprintf(id, sizeof id, "%u", i);
        group_of[i] = rank[i] = i;
        assert_int_equal(dataset_writer_append(w, id, id, -1, none, (struct token_row){ids, 3, 3}, &e), 0);
    }
    assert_int_equal(dataset_writer_commit(&w, &e), 0);
    assert_int_equal(dataset_open(&d, PATH, &e), 0);
    stratify(part_of, d, group_of, 20, rank, share, PART_COUNT);
    for (uint32_t i = 0; i < 20; i++)
        found[part_of[i]]++;
    assert_int_equal(found[PART_TRAIN], 14);
    assert_int_equal(found[PART_VALIDATION], 3);
    assert_int_equal(found[PART_TEST], 3);
    dataset_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(single_labels_are_within_a_row), cmocka_unit_test(many_labels_come_near),
                                       cmocka_unit_test(groups_stay_whole_and_labels_near),
                                       cmocka_unit_test(nothing_but_rows_without_labels)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
