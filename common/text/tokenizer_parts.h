/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the tokeniser share; nobody else includes it. */
#pragma once

#include "common/base/sha256.h"
#include "common/text/added.h"
#include "common/text/tokenizer.h"

#define TOKENIZER_MAX_CHARS 1000 /* most that max_input_chars_per_word may be */
#define TOKENIZER_BERT_CHARS 100 /* what it is in BertTokenizer */
#define TOKENIZER_BERT_PREFIX "##"

struct tokenizer {
    char **words; /* by id; NULL where the vocabulary has no word */
    uint32_t size;
    uint32_t model_size; /* ids of the model's own vocabulary; added tokens may follow */
    uint32_t word_count; /* words of the model; fewer than its ids where these have gaps */
    uint32_t id_count;   /* highest id that a text can give, + 1 */
    struct vocabulary vocabulary;
    struct normalizer_settings settings;
    bool strip_follows_lower; /* strip_accents was null */
    unsigned max_chars;
    char *prefix;
    int32_t unknown;
    struct added_token *added;
    size_t added_count;
    struct added_set raw, normalized;
    struct normalizer *normalizer;
    struct normalizer *plain; /* for text that is normalised already; NULL without normalized added tokens */
    char *disagreement;       /* NULL: the files agree */
    char sha256[SHA256_HEX];
};
