/* SPDX-License-Identifier: Apache-2.0 */
/* A sentencepiece .model file (protobuf, Unigram) as the tokenizer.json that transformers' converter of slow tokenizers makes of
 * it. */
#pragma once

#include "common/json/json.h"

enum sentencepiece_family {
    SENTENCEPIECE_XLM,    /* fairseq's ids: <s> <pad> </s> <unk>, then the model's words from the fourth on, then <mask> */
    SENTENCEPIECE_DEBERTA /* the model's own ids; [MASK] follows them if it is none of its words */
};

struct sentencepiece_options {
    enum sentencepiece_family family;
    bool lower;             /* DeBERTa's do_lower_case */
    bool split_punctuation; /* DeBERTa's split_by_punct */
};

/* ERROR_USAGE: another model than Unigram (named); ERROR_DATA: no such file or a broken one. */
int sentencepiece_read(struct json **ret, const char *path, struct sentencepiece_options options, struct error *e);
/* The same of bytes in memory; `path` is for messages. */
int sentencepiece_parse(struct json **ret, const void *bytes, size_t size, const char *path, struct sentencepiece_options options,
                        struct error *e);
