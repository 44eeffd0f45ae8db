/* SPDX-License-Identifier: Apache-2.0 */
/* Byte pair encoding (Sennrich et al. 2016, arXiv 1508.07909): the symbols of a piece, merged pair by pair, the merge of the
 * lowest rank first, the leftmost among equal ones. */
#pragma once

#include "common/text/merges.h"
#include "common/text/pipeline.h"

token_model_reader bpe_read;

bool bpe_is(const struct token_model *m);

/* The pieces are bytes from now on, each a symbol by its ByteLevel character. */
void bpe_set_bytes(struct token_model *m);

/* Whether a text may be cut before every U+2581 that follows another character, since no merge ever reaches over such a place:
 * then words are pieces of their own, which the cache knows. False: the model is no BPE. */
bool bpe_cuts_at_words(const struct token_model *m);
pre_tokenizer_reader word_start_read; /* the step that cuts so; it reads nothing */
