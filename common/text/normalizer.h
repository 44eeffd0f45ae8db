/* SPDX-License-Identifier: Apache-2.0 */
/* BERT's normaliser and word boundaries, character by character; with normal_form.c the owner of utf8proc in this room. */
#pragma once

#include "common/base/buffer.h"
#include "common/base/error.h"

#include <stdbool.h>
#include <stdint.h>

struct normalizer_settings {
    bool clean;   /* control characters away, every white space a space */
    bool chinese; /* spaces around CJK characters */
    bool strip;   /* canonical decomposition, nonspacing marks away */
    bool lower;
};

enum character_kind {
    CHARACTER_WORD,    /* part of a word */
    CHARACTER_SPACE,   /* ends a word */
    CHARACTER_SINGLE,  /* punctuation, CJK: ends a word and is one */
    CHARACTER_NOTHING, /* vanishes */
    CHARACTER_COMPLEX  /* needs normalizer_expand: its neighbours matter, or it becomes long or mixed */
};

/* What a character of the text becomes. */
struct character {
    uint8_t kind;
    uint8_t chars, size; /* WORD, SINGLE: characters and bytes of `bytes` */
    uint8_t bytes[5];    /* UTF-8 */
};

struct normalizer {
    struct normalizer_settings settings;
    uint8_t ascii_kind[256]; /* of a byte: WORD, SPACE, SINGLE; COMPLEX for all that the table of characters must say */
    uint8_t ascii_word[256]; /* what an ASCII byte of kind WORD becomes; 0 for every other byte */
    struct character plane[0x10000];
};

/* Marks wait here until the next starter, to be put in canonical order. */
#define NORMALIZER_RUN 128 /* longer runs are ordered piecewise; a word is at most 100 characters, so no token sees it */
struct normalizer_run {
    uint32_t c[NORMALIZER_RUN];
    uint8_t class[NORMALIZER_RUN];
    unsigned count;
};
#define NORMALIZER_EXPANSION (2 * NORMALIZER_RUN + 16) /* most characters that one call gives */

struct normalizer *normalizer_create(struct normalizer_settings settings);

/* The character c (of the text) goes in; final characters come out. Returns their number. */
unsigned normalizer_expand(const struct normalizer *n, uint32_t c, struct normalizer_run *run, uint32_t *ret);
unsigned normalizer_flush(const struct normalizer *n, struct normalizer_run *run, uint32_t *ret);

enum character_kind normalizer_kind(uint32_t c); /* of a final character: WORD, SPACE or SINGLE */

/* The normalised text, appended. */
void normalizer_text(const struct normalizer *n, const char *text, size_t size, struct buffer *to);

/* Of a BertNormalizer in tokenizer.json. *follows: strip_accents was null, and is `lower`. ERROR_DATA: a flag that is missing. */
struct json;
int normalizer_settings_read(struct normalizer_settings *ret, bool *follows, const struct json *j, const char *path,
                             struct error *e);

bool character_is_word(uint32_t c);                  /* \w of Rust's regular expressions */
unsigned character_lower(uint32_t c, uint32_t *ret); /* its lower case: 1 character, 2 of U+0130 */
uint8_t character_combining_class(uint32_t c);       /* as `tokenizers` has it */
