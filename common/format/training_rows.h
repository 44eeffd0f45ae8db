/* SPDX-License-Identifier: Apache-2.0 */
/* known_rows.bin of a bundle: which rows it was trained, tuned and tested on, so that an evaluation can tell them from new ones.
 * A row is known by the first 8 bytes of the SHA-256 of its tokens as the model sees them, whatever its id and labels: texts that
 * are one to the model are one here, and nothing of a text can be read from it. */
#pragma once

#include "common/format/split.h"

#define TRAINING_ROWS_FILE "known_rows.bin"

struct training_rows;

void training_rows_make(struct training_rows **ret, const struct dataset *d, const struct split *s);
void training_rows_destroy(struct training_rows **k);
int training_rows_write(const char *path, const struct training_rows *k, struct error *e);
int training_rows_read(struct training_rows **ret, const char *path, struct error *e); /* ERROR_DATA: damaged */
/* Part that a row of any data set tokenised alike stands in; of several the first: train, validation, test. PART_COUNT: new. */
enum part training_rows_find(const struct training_rows *k, const struct dataset *d, uint32_t row);
