/* SPDX-License-Identifier: Apache-2.0 */
/* A Markdown table whose columns line up, so that the file reads as well as what is rendered from it. */
#pragma once

#include "common/base/buffer.h"

struct markdown_table;

/* titles: "trial|#loss"; '#': numbers, to the right. A last column of words is as ragged as they are. */
void markdown_create(struct markdown_table **ret, const char *titles);
/* The next cell; after the last one of a row comes the first one of the next. */
void markdown_cell(struct markdown_table *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void markdown_row_end(struct markdown_table *t); /* what is left of the row is empty */
/* Adds the table to *b and ends it. */
void markdown_finish(struct markdown_table **t, struct buffer *b);
