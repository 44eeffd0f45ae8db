/* SPDX-License-Identifier: Apache-2.0 */
/* Data stages: from the user's files to the rows file, the split and what `check` says of them. Each stage is done once: its
 * output carries the hash of what it was made from, and is made again only if that changed. */
#pragma once

#include "common/format/dataset.h"
#include "common/format/split.h"
#include "common/text/tokenizer.h"
#include "coordinator/data/row_facts.h"
#include "coordinator/job/job.h"

/* check: reads, cleans (rows dropped are counted by reason), drops rare labels and short rows as the job says, tokenises into
 * <out>/tokens/<hash>.rows, keeps what else is known of rows in <out>/tokens/<hash>.facts, unless they are there, and writes
 * <out>/check.json: rows, label counts, shares and bands, labels a row, missing values a field, words, characters and tokens
 * (mean, median, percentiles, max, bins), shares that fit 512..4096, rows where text A alone is too long, exact and near
 * duplicates and whether their labels agree, the data's fingerprint. Stops for what checks.h names (ERROR_DATA). Polls
 * stop_check. */
int data_check(const struct job *j, struct error *e);
void data_print_check(const struct json *check); /* the report for people, on standard output */
/* Opens what data_check made (running it first if needed); label names as used, in order (strings borrowed from *check). */
int data_open(struct dataset **ret, struct json **check, const struct job *j, struct error *e);

/* Where the rows file of a run directory lies whose check.json says `made_from`. Caller frees. */
char *data_rows_path(const char *directory, const char *made_from);
/* What the check stage knows of the rows. Caller frees. */
int data_facts(struct row_facts *ret, const struct job *j, const struct json *check, uint32_t rows, struct error *e);

/* split: groups shuffled by seed (philox, or NumPy), int(train n), int(validation n), rest; or the frozen file; writes
 * <out>/split.json. "stratified": shares of rows, and of each label's rows (stratify.h). Examined in <out>/split_check.json;
 * stops for what checks.h names. */
int data_split(struct split *ret, const struct job *j, const struct dataset *d, const struct json *check, struct error *e);
/* The labels' shares, labels absent from a part, near leaks; from split_check.json, on standard output. */
int data_print_split(const struct job *j, const struct json *check, struct error *e);
/* balanced: N / (L n_c) from the train part; ERROR_DATA naming a class absent from train. weights (L). */
int data_class_weights(double *weights, const struct job *j, const struct dataset *d, const struct split *s,
                       const struct json *check, struct error *e);

/* predict, evaluate: rows of any file by a bundle's input composition ("input" of inference_config.json: text_a, text_b, joiner,
 * required, id, label, labels, max_length, truncation); labels optional unless needed. Writes a rows file at `path`; every input
 * line keeps its place: rows without text are an error naming the line. */
int data_tokenize_file(const char *input, const struct json *inference_config, const struct tokenizer *t, const char *path,
                       bool need_labels, struct error *e);
