/* SPDX-License-Identifier: Apache-2.0 */
/* A data set after cleaning and tokenising: one read-only mapped file ("tokens/<hash>.rows") that the coordinator writes
 * once and every worker maps. A row's number is its place in this file (0-based, order of the input); it is the "row" of
 * philox.h, of plans and of messages. Its id is the user's.
 *
 * The reader checks every offset when it opens (ERROR_DATA, "is damaged, delete it"), so accessors need no checks. */
#pragma once

#include "common/base/error.h"

#include <stddef.h>
#include <stdint.h>

struct dataset;

struct token_row {
    const int32_t *ids; /* with special tokens: [CLS] A [SEP] B [SEP], or <s> A </s> */
    uint32_t length;    /* of ids */
    uint32_t first;     /* tokens of type 0; the rest are of type 1 */
};

int dataset_open(struct dataset **ret, const char *path, struct error *e);
void dataset_close(struct dataset **d);
uint32_t dataset_rows(const struct dataset *d);
uint32_t dataset_labels(const struct dataset *d);    /* L; 0 when the rows carry no labels (predict) */
bool dataset_is_multi(const struct dataset *d);      /* targets rather than classes */
const char *dataset_sha256(const struct dataset *d); /* of ids, groups, labels and tokens together */
/* Of ids, groups and labels: the same for every tokeniser and length, so that one frozen split serves a whole zoo of models. */
const char *dataset_rows_sha256(const struct dataset *d);
const char *dataset_id(const struct dataset *d, uint32_t row);
const char *dataset_group(const struct dataset *d, uint32_t row);
uint32_t dataset_groups(const struct dataset *d);                     /* how many there are */
uint32_t dataset_group_number(const struct dataset *d, uint32_t row); /* below that, in the order in which they first appear */
int32_t dataset_class(const struct dataset *d, uint32_t row);         /* single label; -1 without labels */
const float *dataset_targets(const struct dataset *d, uint32_t row);  /* (L) 0 or 1; multi-label only */
struct token_row dataset_tokens(const struct dataset *d, uint32_t row);
/* Now and then, for who walks rows and has done those before `end`: their pages need not stay resident. Any thread. */
void dataset_walked(const struct dataset *d, size_t end);

/* Writer: append rows in order, commit puts the file in place. An id that an earlier row has is ERROR_DATA. Tokens and targets go
 * to disk at once; memory holds some 25 bytes a row
 * and 20 a group; ids and groups as arena.h says. */
struct dataset_writer;
int dataset_writer_create(struct dataset_writer **ret, const char *path, uint32_t labels, bool multi, struct error *e);
int dataset_writer_append(struct dataset_writer *w, const char *id, const char *group, int32_t class,
                          const float *targets /* (L) or NULL */, struct token_row tokens, struct error *e);
uint32_t dataset_writer_groups(const struct dataset_writer *w);        /* of the rows so far */
int dataset_writer_commit(struct dataset_writer **w, struct error *e); /* consumes *w also on failure; ERROR_STOPPED */
void dataset_writer_destroy(struct dataset_writer **w);
