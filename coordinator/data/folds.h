/* SPDX-License-Identifier: Apache-2.0 */
/* k-fold cross-validation (split.folds) over the rows of train and validation; those of test are in no fold. Whole groups are
 * dealt out by stratify.h (groups of several rows by stratify_evenly), ties by the job's seed: of single rows with one label
 * each, the folds differ by at most one row, in all and of each label. */
#pragma once

#include "common/format/split.h"
#include "coordinator/job/job.h"

#define NO_FOLD UINT32_MAX /* a row of test */

/* ret (rows of d): 0 to split.folds - 1, or NO_FOLD; caller frees. ERROR_DATA for fewer groups than folds. */
int data_folds(uint32_t **ret, const struct job *j, const struct dataset *d, const struct split *s, struct error *e);
/* Fold f validates, the other folds train. Caller frees. */
void folds_split(struct split *ret, const uint32_t *fold_of, uint32_t f, const struct dataset *d);
/* All folds train and none validates: what trains on the whole. Caller frees. */
void folds_whole(struct split *ret, const uint32_t *fold_of, const struct dataset *d);
/* Makes of `whole` what its out-of-fold predictions are of: the rows that train are also those that validate, each by the model
 * that was trained without it. No file says so: a split that is read has each row in one part. */
void folds_validate_out_of_fold(struct split *whole);
