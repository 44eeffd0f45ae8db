/* SPDX-License-Identifier: Apache-2.0 */
/* Added tokens ("[SEP]", a user's own): found in a text before it is cut into words. */
#pragma once

#include "common/base/buffer.h"
#include "common/text/vocabulary.h"

#include <stdbool.h>

struct added_token {
    char *content;
    int32_t id;
    bool special;
    bool normalized;  /* looked for in the normalised text, by its normalised form */
    bool left, right; /* takes the white space at its left, right along */
    bool single_word; /* not inside a word */
};

/* Those looked for in the same text. */
struct added_set {
    const struct added_token *const *tokens; /* ids of the trie are indices into it */
    const struct added_token **memory;
    size_t count;
    struct vocabulary trie;
    bool starts[256];
    int only_start; /* the byte that all start with, or -1 */
};

typedef void added_normalize(const void *state, const char *text, size_t size, struct buffer *to); /* appends */

/* Tokens of `all` with this `normalized`, normalised if so. */
void added_set_build(struct added_set *s, const struct added_token *all, size_t count, bool normalized,
                     added_normalize *normalize, const void *state);
void added_set_free(struct added_set *s);

struct added_match {
    size_t start, stop;
    int32_t id;
};

/* A walk over the matches of a text: leftmost first, the longest there, none overlapping another. Zero-initialise. */
struct added_walk {
    size_t cursor; /* where to look on */
    size_t floor;  /* where the last match, with its white space, ended */
};
bool added_next(const struct added_set *s, const char *text, size_t size, struct added_walk *walk, struct added_match *ret);
