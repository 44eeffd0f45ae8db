/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the tokeniser share; nobody else includes it. */
#pragma once

#include "common/base/sha256.h"
#include "common/text/added.h"
#include "common/text/normalizer.h"
#include "common/text/row_template.h"
#include "common/text/tokenizer.h"
#include "common/text/wordpiece.h"

#define TOKENIZER_MAX_CHARS 1000 /* most that max_input_chars_per_word may be */
#define TOKENIZER_BERT_CHARS 100 /* what it is in BertTokenizer */
#define TOKENIZER_BERT_PREFIX "##"

enum { TOKENIZER_ROLES = 7 };
extern const char *const tokenizer_roles[TOKENIZER_ROLES]; /* "bos_token" and the like */

struct tokenizer {
    char **words; /* by id; NULL where the vocabulary has no word */
    uint32_t size;
    uint32_t model_size; /* ids of the model's own vocabulary; added tokens may follow */
    uint32_t word_count; /* words of the model; fewer than its ids where these have gaps */
    uint32_t id_count;   /* highest id that a text can give, + 1 */
    struct vocabulary vocabulary;
    struct normalizer_settings settings;
    bool strip_follows_lower; /* strip_accents was null */
    struct wordpiece wordpiece;
    char *prefix; /* of WordPiece; NULL: another model */
    struct added_token *added;
    size_t added_count;
    struct added_set raw, normalized;
    struct normalizer *normalizer;
    struct normalizer *plain;  /* for text that is normalised already; NULL without normalized added tokens */
    bool bert;                 /* WordPiece as BERT has it, written as BERT's own files */
    struct pipeline *pipeline; /* of any other; NULL: `bert`, which has a faster way of its own */
    struct json *root;         /* tokenizer.json, if there is a pipeline */
    bool types;                /* the model tells token types apart */
    struct row_templates templates;
    char *roles[TOKENIZER_ROLES]; /* the special token of that role; NULL: none */
    char *disagreement;           /* NULL: the files agree */
    char sha256[SHA256_HEX];
};
