/* SPDX-License-Identifier: Apache-2.0 */
/* From cleaned rows to a rows file: tokenised by all cores, some thousands of rows at a time. */
#pragma once

#include "common/text/pair.h"
#include "coordinator/data/records.h"

/* What tokenising found; tokens (rows) is the caller's. */
struct token_lengths {
    uint32_t *tokens; /* of each row, before truncation */
    uint64_t truncated, first_too_long;
};

/* labels 0: the rows file carries none. lengths may be NULL. Polls stop_check. */
int tokenize_records(const char *path, const struct records *r, const struct tokenizer *t, uint32_t max_length,
                     enum truncation truncation, uint32_t labels, bool multi, struct token_lengths *lengths, struct error *e);
