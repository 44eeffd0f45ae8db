/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of a file that are parsed on all cores ahead of a reader that wants them in order. One thread at a time takes their bytes
 * out of the file, so that where a row begins and ends does not depend on the number of threads, nor do errors and their lines.
 * Memory: some blocks of 128 KB (or one row) and the rows parsed of them, for each of at most 16 threads. */
#pragma once

#include "common/base/buffer.h"
#include "common/base/error.h"
#include "common/json/json.h"

/* Where a taken row is, and what was met. */
struct row_met {
    size_t line;              /* from 1 */
    bool failed;              /* the error is the file's, not the row's: nothing is to be read behind it */
    bool swallowed;           /* a quoted cell's lines would be rows by themselves (CSV) */
    struct json_leniency met; /* while parsing */
};

struct rows_ahead;

struct rows_source {
    /* The next row's bytes behind those of *to: 1, 0 at the end, or -1 and the next call goes on behind what was wrong. *facts
     * are zero. Called in order, by one thread at a time. */
    int (*take)(void *context, struct buffer *to, struct row_met *facts, struct error *e);
    /* The row of such bytes; by any thread, with `context` as it was before the first take. */
    int (*parse)(void *context, struct json **ret, const char *bytes, size_t size, struct row_met *facts, struct error *e);
    void *context; /* borrowed */
};

void rows_ahead_create(struct rows_ahead **ret, const struct rows_source *source);
void rows_ahead_destroy(struct rows_ahead **a); /* waits for what has begun */
/* 1 with the next row (borrowed until the next call), 0 at the end, -1: the row's error. *facts of the row, also with an error.
 */
int rows_ahead_next(struct rows_ahead *a, const struct json **row, struct row_met *facts, struct error *e);
