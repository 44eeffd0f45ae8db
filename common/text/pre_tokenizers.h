/* SPDX-License-Identifier: Apache-2.0 */
/* The pre-tokenisers that cut a text by kinds of characters. */
#pragma once

#include "common/text/pipeline.h"

pre_tokenizer_reader bert_pre_tokenizer_read, whitespace_read, whitespace_split_read, punctuation_read, digits_read,
    delimiter_read;
