/* SPDX-License-Identifier: Apache-2.0 */
/* split.json: which row is in which part. Holds row ids (the user's), the sha256 of the data set's rows (dataset_rows_sha256: no
 * tokens, so that models with different tokenisers share a split), and its own sha256 over parts and ids; read back against a
 * data set, it becomes row numbers. The two hashes may be absent (a file made by other hands); every id is checked all the same.
 * Of more than SPLIT_LISTED rows it holds no ids: the part of each row by number, two bits a row ("part_of" in place of "parts").
 */
#pragma once

#include "common/format/dataset.h"

enum part { PART_TRAIN, PART_VALIDATION, PART_TEST, PART_COUNT };
extern const char *const part_names[PART_COUNT]; /* "train", "validation", "test" */

struct split {
    struct {
        uint32_t *rows; /* ascending */
        uint32_t count;
    } part[PART_COUNT];
    char method[16];                  /* "muster", "numpy", "stratified", "file", "files" */
    char sha256[65];                  /* set by split_write and split_read */
    char fingerprint[PART_COUNT][65]; /* of the parts' texts and labels; written if there, not read */
};

#define SPLIT_LISTED 200000

int split_write(const char *path, struct split *s, const struct dataset *d, struct error *e);
/* Refuses (ERROR_DATA) a file made from another data set, unknown or repeated ids, rows in no part or in two. */
int split_read(struct split *ret, const char *path, const struct dataset *d, struct error *e);
void split_free(struct split *s);
