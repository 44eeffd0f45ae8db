/* SPDX-License-Identifier: Apache-2.0 */
/* The ByteLevel pre-tokeniser and normaliser of GPT-2, RoBERTa, ModernBERT: every byte is a printable character of its own. */
#pragma once

#include "common/text/pipeline.h"

pre_tokenizer_reader byte_level_read;
normalizer_reader byte_level_normalizer_read;

/* If the step is ByteLevel, its pieces are from now on the bytes themselves and not the characters that stand for them, and the
 * result is true. Only the last step may be set so, before a model that knows of it (bpe_set_bytes). */
bool byte_level_set_bytes(struct pre_tokenizer_step *step);

/* The character that stands for a byte, as UTF-8; returns its size (1 or 2). */
unsigned byte_level_character(uint8_t byte, uint8_t to[2]);
