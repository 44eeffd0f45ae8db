/* SPDX-License-Identifier: Apache-2.0 */
/* The split stage: which rows train, validate and test, and the class weights and a new head's biases that follow. Reads the rows
 * file, writes split.json and split_check.json. */
#pragma once

#include "common/format/dataset.h"
#include "common/format/split.h"
#include "coordinator/job/job.h"

/* split: groups shuffled by seed (philox, or NumPy), int(train n), int(validation n), rest; or the frozen file; writes
 * <out>/split.json. "stratified": shares of rows, and of each label's rows (stratify.h). Examined in <out>/split_check.json;
 * stops for what data_problems.h names. */
int data_split(struct split *ret, const struct job *j, const struct dataset *d, const struct json *check, struct error *e);
/* The labels' shares, labels absent from a part, near leaks; from split_check.json, on standard output. */
int data_print_split(const struct job *j, const struct json *check, struct error *e);
/* Rows of the train part that have each label. counts (L) */
void data_label_counts(double *counts, const struct dataset *d, const struct split *s);
/* balanced: N / (L n_c) from the train part; ERROR_DATA naming a class absent from train. weights (L). */
int data_class_weights(double *weights, const struct job *j, const struct dataset *d, const struct split *s,
                       const struct json *check, struct error *e);
/* Biases at which a classifier that knows no text has the least cross-entropy on the train part, as smoothed and weighted (Lin et
 * al., 2017, begin at such a prior): many labels a row: log odds of each label's share; one: log shares. A label that train lacks
 * counts as half a row. weights, bias (L). */
void data_head_bias(double *bias, const struct job *j, const struct dataset *d, const struct split *s, const double *weights);
