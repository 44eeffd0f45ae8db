/* SPDX-License-Identifier: Apache-2.0 */
/* A tokeniser as tokenizer.json describes it: normaliser steps, then pre-tokeniser steps, then a model. A kind of step or model
 * is a row of a table in pipeline_read.c and fills one of the structures below. All text is valid UTF-8 with sizes in bytes (it
 * may hold NUL bytes and is not terminated). Everything is immutable once read and used by many threads at a time; what a call
 * needs to write to is in its arguments. Only the files of the tokeniser include this. */
#pragma once

#include "common/base/buffer.h"
#include "common/json/json.h"
#include "common/text/tokenizer.h"
#include "common/text/vocabulary.h"

#include <stdbool.h>

/* Appends the normalised form of a text (the whole text, or what is between two added tokens) to *to, which is not `text`. */
struct normalizer_step {
    void (*apply)(const void *state, const char *text, size_t size, struct buffer *to);
    void (*destroy)(void *state); /* NULL: nothing to free */
    void *state;
};

/* A part of a normalised text that is tokenised on its own; `tokenizers` calls it a split. Never empty. */
struct piece {
    const char *text;
    size_t size;
    bool first; /* starts where the original text starts (Metaspace's prepend_scheme "first") */
};

/* Where a step's pieces go. `text` of a piece need only live until `take` returns. */
struct piece_sink {
    void (*take)(struct piece_sink *self, struct piece p);
    const bool *full; /* enough tokens are made: further pieces may be left out */
};

static inline void piece_put(struct piece_sink *to, const char *text, size_t size, bool first)
{
    if (size)
        to->take(to, (struct piece){text, size, first});
}

/* Cuts a piece into smaller ones, in order. A step that changes the text writes the new one to *memory, which is empty at the
 * call. */
struct pre_tokenizer_step {
    void (*apply)(const void *state, struct piece p, struct buffer *memory, struct piece_sink *to);
    void (*destroy)(void *state);
    void *state;
};

/* Appends the tokens of a piece. The results for short pieces are cached by the caller. */
struct token_model {
    void (*encode)(const void *state, void *scratch, const char *text, size_t size, struct token_list *to);
    void *(*scratch_create)(
        const void *state); /* memory that `encode` keeps from call to call, of one thread at a time; NULL: none */
    void (*scratch_destroy)(void *scratch);
    void (*destroy)(void *state);
    void *state;
};

struct pipeline {
    struct normalizer_step *normalizer;
    size_t normalizer_count;
    struct pre_tokenizer_step *pre_tokenizer;
    size_t pre_tokenizer_count;
    struct token_model model;
    struct workspace_pool *workspaces;
};

/* What a reader of a part of tokenizer.json sees. */
struct pipeline_source {
    const struct json *root;             /* tokenizer.json */
    const char *path;                    /* of that file, for messages */
    const struct vocabulary *vocabulary; /* of the model; lives as long as the pipeline */
};

/* Readers: `j` is the step's or model's own object. They fill *ret on success. ERROR_USAGE: a kind or setting that is not
 * supported, named; ERROR_DATA: broken. "path: what is found, what is supported or to do". */
typedef int normalizer_reader(struct normalizer_step *ret, const struct json *j, const struct pipeline_source *s,
                              struct error *e);
typedef int pre_tokenizer_reader(struct pre_tokenizer_step *ret, const struct json *j, const struct pipeline_source *s,
                                 struct error *e);
typedef int token_model_reader(struct token_model *ret, const struct json *j, const struct pipeline_source *s, struct error *e);

int pipeline_read(struct pipeline **ret, const struct pipeline_source *s, struct error *e);
void pipeline_destroy(struct pipeline **p);

/* What one call of tokenizer_encode works with; of one thread at a time. */
struct workspace;
struct workspace *pipeline_acquire(const struct pipeline *p);
void pipeline_release(const struct pipeline *p, struct workspace *w);

/* The normalised text; valid until the next call with `w`. */
struct piece pipeline_normalize(const struct pipeline *p, struct workspace *w, const char *text, size_t size, bool first);
/* Appends the tokens of a normalised text to *to, and stops early once it has `stop` tokens or more. */
void pipeline_encode(const struct pipeline *p, struct workspace *w, struct piece normalized, size_t stop, struct token_list *to);
