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

/* A step that cuts pieces further, at places that no merge reaches over: the tokens stay the same, and short pieces are found in
 * the cache. False: the model is no BPE, or has none such. The step belongs to the model, and must not outlive it. */
bool bpe_cut_step(struct pre_tokenizer_step *ret, const struct token_model *m);
