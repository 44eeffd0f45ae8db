/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/data/folds.h"

#include "common/base/memory.h"
#include "common/base/table.h"
#include "coordinator/data/shuffle.h"
#include "coordinator/data/stratify.h"

#include <stdlib.h>
#include <string.h>

/* rows: in folds. Where each is a group by itself no fold gets more than a row above another. */
static void deal(uint32_t *fold_of_group, const struct job *j, const struct dataset *d, const uint32_t *group_of, uint32_t groups,
                 uint32_t rows)
{
    uint32_t k = j->split.folds, *rank = shuffle_ranks(groups, j->seed, RANDOM_SPLIT, 1); /* 0: that of the split */
    double *share = allocate(k, sizeof *share);
    for (uint32_t f = 0; f < k; f++)
        share[f] = 1.0 / k;
    if (groups == rows)
        stratify(fold_of_group, d, group_of, groups, rank, share, k);
    else
        stratify_evenly(fold_of_group, d, group_of, groups, rank, k);
    free(share);
    free(rank);
}

int data_folds(uint32_t **ret, const struct job *j, const struct dataset *d, const struct split *s, struct error *e)
{
    uint32_t rows = dataset_rows(d), *of = allocate(rows, sizeof *of);
    struct table *ids;
    table_create(&ids);
    for (uint32_t i = 0; i < rows; i++)
        of[i] = NO_FOLD;
    for (int p = PART_TRAIN; p <= PART_VALIDATION; p++)
        for (uint32_t i = 0; i < s->part[p].count; i++)
            of[s->part[p].rows[i]] = 0;
    for (uint32_t i = 0; i < rows; i++)
        if (of[i] != NO_FOLD)
            of[i] = table_add(ids, dataset_group(d, i));
    uint32_t groups = (uint32_t)table_count(ids);
    table_destroy(&ids);
    if (groups < j->split.folds) {
        free(of);
        return error_set(
            e, ERROR_DATA,
            "split.folds %u: the train and validation parts have only %u groups (data.group: %s), and a fold needs one "
            "at least; use fewer folds",
            j->split.folds, groups, j->data.group ? j->data.group : "each row on its own");
    }
    uint32_t *fold_of_group = allocate(groups, sizeof *fold_of_group);
    deal(fold_of_group, j, d, of, groups, s->part[PART_TRAIN].count + s->part[PART_VALIDATION].count);
    for (uint32_t i = 0; i < rows; i++)
        of[i] = of[i] == NO_FOLD ? NO_FOLD : fold_of_group[of[i]];
    free(fold_of_group);
    *ret = of;
    return 0;
}

static void make(struct split *ret, const struct dataset *d)
{
    *ret = (struct split){0};
    strcpy(ret->method, "folds");
    for (int p = 0; p < PART_COUNT; p++)
        ret->part[p].rows = allocate(dataset_rows(d), sizeof(uint32_t));
}

static void give(struct split *s, enum part part, uint32_t row)
{
    s->part[part].rows[s->part[part].count++] = row;
}

void folds_split(struct split *ret, const uint32_t *fold_of, uint32_t f, const struct dataset *d)
{
    make(ret, d);
    for (uint32_t i = 0; i < dataset_rows(d); i++)
        give(ret, fold_of[i] == NO_FOLD ? PART_TEST : fold_of[i] == f ? PART_VALIDATION : PART_TRAIN, i);
}

void folds_whole(struct split *ret, const uint32_t *fold_of, const struct dataset *d)
{
    make(ret, d);
    for (uint32_t i = 0; i < dataset_rows(d); i++)
        give(ret, fold_of[i] == NO_FOLD ? PART_TEST : PART_TRAIN, i);
}

void folds_validate_out_of_fold(struct split *whole)
{
    uint32_t count = whole->part[PART_TRAIN].count;
    free(whole->part[PART_VALIDATION].rows);
    whole->part[PART_VALIDATION].rows = allocate(count, sizeof(uint32_t));
    whole->part[PART_VALIDATION].count = count;
    memcpy(whole->part[PART_VALIDATION].rows, whole->part[PART_TRAIN].rows, count * sizeof(uint32_t));
}
