/* SPDX-License-Identifier: Apache-2.0 */
/* One row of model input from one or two texts between special tokens, as the tokenizer's templates have it ([CLS] A [SEP] B
 * [SEP], <s> A </s></s> B </s>), truncated to max_length. */
#pragma once

#include "common/text/tokenizer.h"

enum truncation { TRUNCATE_ONLY_SECOND, TRUNCATE_LONGEST_FIRST, TRUNCATE_ONLY_FIRST };
extern const char *const truncation_names[]; /* NULL-terminated, job file spelling */

struct pair {
    struct token_list tokens; /* reused from row to row; zero-initialise, token_list_free at the end */
    uint32_t first;           /* tokens of type 0; those behind them have type 1 */
    bool truncated;
    bool first_too_long; /* only_second could not fit: B is dropped whole and A is cut last */
};

/* b NULL: a single text, which every truncation cuts. Tokens as `tokenizers` gives them with the same truncation; where that
 * one fails (only_second and A fills the row, only_first and B does) the text that should give goes whole, the other is cut to
 * fit. Never more than max_length tokens, if that is at least
 * the template's number of special tokens. */
void pair_encode(struct pair *ret, const struct tokenizer *t, const char *a, size_t a_size, const char *b, size_t b_size,
                 uint32_t max_length, enum truncation truncation);
