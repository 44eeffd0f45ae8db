/* SPDX-License-Identifier: Apache-2.0 */
/* Text to token ids, equal id for id to Hugging Face `tokenizers`. Reads a model directory as transformers 5 does: a BERT class
 * (or none): the vocabulary from tokenizer.json, else vocab.txt (a line an id; of equal words the last counts), with case,
 * accents and CJK from tokenizer_config.json; every other class: tokenizer.json as it is (pipeline.h). Added tokens from these,
 * special_tokens_map.json and added_tokens.json. A tokenizer is immutable once open and may be used by many threads. */
#pragma once

#include "common/base/error.h"
#include "common/text/row_template.h"

#include <stddef.h>
#include <stdint.h>

struct tokenizer;

/* ERROR_USAGE: no such directory or files, or a kind of tokeniser that is not supported (named); ERROR_DATA: a broken vocabulary.
 */
int tokenizer_open(struct tokenizer **ret, const char *directory, struct error *e);
void tokenizer_close(struct tokenizer **t);
uint32_t tokenizer_size(const struct tokenizer *t); /* highest id + 1, added tokens too */
/* One line where tokenizer.json and tokenizer_config.json say different things: both values, and which holds; NULL: they agree.
 */
const char *tokenizer_disagreement(const struct tokenizer *t);
/* The id of "[CLS]", "[SEP]", "[UNK]", "[PAD]", "[MASK]" or any word; -1 if absent. */
int32_t tokenizer_special(const struct tokenizer *t, const char *name);
/* Where the special tokens of a row stand; valid as long as `t`. */
const struct row_templates *tokenizer_templates(const struct tokenizer *t);
const char *tokenizer_sha256(const struct tokenizer *t); /* of vocabulary and settings */

struct token_list {
    int32_t *ids;
    size_t count, capacity;
};
void token_list_free(struct token_list *l);
void token_list_reserve(struct token_list *l, size_t count); /* room for so many in all */

/* Appends the tokens of `text` (no special ones added; special ones in the text are recognised as `tokenizers` does) to
 * *l, and stops early once `limit` tokens were appended (SIZE_MAX: never). Invalid UTF-8 counts as U+FFFD,
 * as Python's errors="replace" has it. */
void tokenizer_encode(const struct tokenizer *t, const char *text, size_t size, size_t limit, struct token_list *l);

/* For a bundle, read alike by transformers 4 and 5: writes tokenizer.json, tokenizer_config.json, special_tokens_map.json, and
 * vocab.txt of a BERT tokenizer, into `directory`. */
int tokenizer_export(const struct tokenizer *t, const char *directory, uint32_t max_length, struct error *e);
