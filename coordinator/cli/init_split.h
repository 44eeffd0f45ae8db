/* SPDX-License-Identifier: Apache-2.0 */
/* Splits that data brings along, for `muster init`: files named for their parts, and a column of parts. */
#pragma once

#include "common/format/split.h"
#include "coordinator/data/records.h"

/* paths (PART_COUNT, owned by the caller): data-train.csv, data-validation.csv (valid, val, dev) and data-test.csv, where `path`
 * is one of them and all are there. false: they are not; *missing is the part without a file if another than `path`'s has one
 * (static words), NULL else. */
bool init_sibling_files(char *paths[PART_COUNT], const char **missing, const char *path);

struct init_parts {
    size_t rows[PART_COUNT];
    size_t repeats; /* rows of validation and test whose text is in train too */
    bool drawn;     /* there was no validation part: 15 % of the training rows, drawn at random */
};

/* Writes the split file that `split.file` of a job takes; the part of a record is its `group`. */
int init_write_split(struct init_parts *ret, const char *path, const struct records *r, struct error *e);
