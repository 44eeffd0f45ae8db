/* SPDX-License-Identifier: Apache-2.0 */
/* The check stage: from the user's files to the rows file, and what is known of the rows. Done once: its output carries the hash
 * of what it was made from, and is made again only if that changed. Blocks while it reads and tokenizes; polls stop_check. */
#pragma once

#include "common/format/dataset.h"
#include "coordinator/data/row_facts.h"
#include "coordinator/job/job.h"

/* check: reads, cleans (rows dropped are counted by reason), drops rare labels and short rows as the job says, tokenizes into
 * <out>/tokens/<hash>.rows, keeps what else is known of rows in <out>/tokens/<hash>.facts, unless they are there, and writes
 * <out>/check.json: rows, label counts, shares and bands, labels a row, missing values a field, words, characters and tokens
 * (mean, median, percentiles, max, bins), shares that fit 512..4096, rows where text A alone is too long, exact and near
 * duplicates and whether their labels agree, the data's fingerprint. Stops for what data_problems.h names (ERROR_DATA). */
int data_check(const struct job *j, struct error *e);
void data_print_check(const struct json *check); /* the report for people, on standard output */
/* Opens what data_check made (running it first if needed); label names as used, in order (strings borrowed from *check). */
int data_open(struct dataset **ret, struct json **check, const struct job *j, struct error *e);

/* What the check stage knows of the rows. Caller frees. */
int data_facts(struct row_facts *ret, const struct job *j, const struct json *check, uint32_t rows, struct error *e);
