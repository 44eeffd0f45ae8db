/* SPDX-License-Identifier: Apache-2.0 */
/* The files next to a vocabulary: what they say of case, accents and added tokens, as transformers 5 reads them. Only the files of
 * the tokeniser include it. */
#pragma once

#include "common/json/json.h"
#include "common/text/tokenizer_parts.h"

struct tokenizer_files {
    struct json *config; /* tokenizer_config.json; each NULL where there is none */
    struct json *map;    /* special_tokens_map.json */
    struct json *added;  /* added_tokens.json */
    struct json *root;   /* tokenizer.json */
    char *class;         /* the tokenizer class that is said, by tokenizer_config.json or else config.json; NULL: none */
    bool bert;           /* built anew from vocabulary and flags, not tokenizer.json as it is */
    double rows;         /* vocab_size of config.json; infinite where it is not said */
};

/* Reads what there is. ERROR_DATA: broken JSON; ERROR_USAGE: a class or a special token that is not BERT's (named). */
int tokenizer_files_read(struct tokenizer_files *ret, const char *directory, struct error *e);
void tokenizer_files_free(struct tokenizer_files *f);

/* A BERT class: case, accents, CJK by the configuration's flags. Where tokenizer.json says otherwise (t's settings, if there is
 * one), t->disagreement tells both values and which holds. */
void tokenizer_files_settle(struct tokenizer *t, const struct tokenizer_files *f, const char *directory);

/* Appends the added tokens of all files, in transformers' order: a word of the vocabulary keeps its id, others follow it.
 * ERROR_DATA: a token whose id in a file is another, or one without content. */
int tokenizer_files_add(struct tokenizer *t, const struct tokenizer_files *f, const char *directory, struct error *e);
