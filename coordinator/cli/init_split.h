/* SPDX-License-Identifier: Apache-2.0 */
/* Splits that data brings along, for `muster init`: files named for their parts, and a column of parts. */
#pragma once

#include "common/format/split.h"
#include "coordinator/data/records.h"

struct init_files {
    char *paths[PART_COUNT]; /* NULL: not all are there, or, of validation alone, it is drawn from train */
    const char *missing;     /* the part without a file; static words */
    char *unused;            /* file of another part than the given one's, where one is missing; NULL: there is none */
};

/* data-train.csv, data-test.csv and perhaps data-validation.csv (valid, val, dev), where `path` is one of them. false: not all are
 * there. init_files_free in any case. */
bool init_sibling_files(struct init_files *ret, const char *path);
void init_files_free(struct init_files *f);

/* part (rows): of each record, whose `group` is what the column says. drawn: validation or test without a row, so that 15 % of
 * the training rows are it, drawn at random. ERROR_DATA: a value that is no part. */
int init_read_parts(uint8_t *part, bool drawn[PART_COUNT], const struct records *r, struct error *e);

/* Writes the split file that `split.file` of a job takes; rows of PART_COUNT are left out. */
int init_write_split(const char *path, const struct records *r, const uint8_t *part, struct error *e);
