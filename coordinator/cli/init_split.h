/* SPDX-License-Identifier: Apache-2.0 */
/* Splits that data brings along, for `muster init`: files named for their parts, and a column of parts. */
#pragma once

#include "common/format/split.h"
#include "coordinator/data/records.h"

struct init_files {
    char *paths[PART_COUNT]; /* NULL: not all are there */
    const char *missing;     /* the part without a file; static words */
    char *unused;            /* file of another part than the given one's, where one is missing; NULL: there is none */
};

/* data-train.csv, data-validation.csv (valid, val, dev) and data-test.csv, where `path` is one of them. false: not all are there.
 * init_files_free in any case. */
bool init_sibling_files(struct init_files *ret, const char *path);
void init_files_free(struct init_files *f);

struct init_parts {
    size_t rows[PART_COUNT];
    bool drawn; /* there was no validation part: 15 % of the training rows, drawn at random */
};

/* Writes the split file that `split.file` of a job takes; the part of a record is its `group`. */
int init_write_split(struct init_parts *ret, const char *path, const struct records *r, struct error *e);
/* Part of record `i`. */
enum part init_part_of(const struct init_parts *parts, const struct records *r, uint32_t i);
