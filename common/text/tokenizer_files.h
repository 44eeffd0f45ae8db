/* SPDX-License-Identifier: Apache-2.0 */
/* The files next to a vocabulary: what they say of case, accents and added tokens, as transformers 5 reads them. Only the files
 * of the tokeniser include it. */
#pragma once

#include "common/json/json.h"
#include "common/text/tokenizer_parts.h"

/* What the vocabulary is read from. */
enum tokenizer_source {
    SOURCE_JSON,         /* tokenizer.json */
    SOURCE_VOCABULARY,   /* vocab.txt */
    SOURCE_MERGES,       /* vocab.json and merges.txt */
    SOURCE_SENTENCEPIECE /* sentencepiece.bpe.model or spm.model */
};

struct tokenizer_files {
    struct json *config;      /* tokenizer_config.json; each NULL where there is none */
    struct json *map;         /* special_tokens_map.json */
    struct json *added;       /* added_tokens.json */
    struct json *root;        /* tokenizer.json */
    char *class;              /* the tokenizer class that is said, by tokenizer_config.json or else config.json; NULL: none */
    bool bert;                /* built anew from vocabulary and flags, not tokenizer.json as it is */
    const char *const *roles; /* the class's special tokens by role; NULL: it has none */
    double rows;              /* vocab_size of config.json; infinite where it is not said */
    bool types;               /* config.json has more than one token type */
    bool roberta;             /* a class that transformers makes as RobertaTokenizer */
    enum tokenizer_source source;
};

/* Reads what there is. ERROR_DATA: broken JSON; ERROR_USAGE: a class that is not supported, or a special token
 * that is not BERT's (named). */
int tokenizer_files_read(struct tokenizer_files *ret, const char *directory, struct error *e);
void tokenizer_files_free(struct tokenizer_files *f);
const char *tokenizer_files_name(const struct tokenizer_files *f); /* of the file that has the words */

/* A BERT class: case, accents, CJK by the configuration's flags. Where tokenizer.json says otherwise (t's settings, if there is
 * one), t->disagreement tells both values and which holds. */
void tokenizer_files_settle(struct tokenizer *t, const struct tokenizer_files *f, const char *directory);

/* Appends the added tokens of all files, in transformers' order: a word of the vocabulary keeps its id, others follow it.
 * ERROR_DATA: a token whose id in a file is another, or one without content. */
int tokenizer_files_add(struct tokenizer *t, const struct tokenizer_files *f, const char *directory, struct error *e);

/* What a role's special token is called; NULL: there is none. Borrowed from the files. */
const char *tokenizer_files_role(const struct tokenizer_files *f, size_t role);

/* Parts of opening, each in its own file. */
/* tokenizer.json of older files into f->root, and what a class changes in it (then t->disagreement tells). ERROR_DATA: broken
 * files. */
int tokenizer_files_complete(struct tokenizer *t, struct tokenizer_files *f, const char *directory, struct error *e);
int tokenizer_words_of_file(struct tokenizer *t, const char *path, struct error *e); /* vocab.txt: a line a word */
int tokenizer_words_of_model(struct tokenizer *t, const struct json *model, const char *path, struct error *e);
int tokenizer_build_vocabulary(struct tokenizer *t, const char *path, struct error *e); /* from the words, by t->prefix */
/* BERT's settings of a tokenizer.json. ERROR_USAGE: it is another's (which part is named). */
int tokenizer_bert_read(struct tokenizer *t, const struct json *root, const char *path, struct error *e);
int tokenizer_bert_check(struct tokenizer *t, const char *path,
                         struct error *e); /* ERROR_DATA: [UNK], [CLS] or [SEP] is no word */
