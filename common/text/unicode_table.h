/* SPDX-License-Identifier: Apache-2.0 */
/* What Hugging Face `tokenizers` takes a character for. It mixes Unicode versions (categories of 8, decompositions of 9,
 * lower case of its Rust release), so the tables are read off from it by tools/golden_text.py and not from utf8proc, which
 * supplies the rest: canonical decompositions, combining classes and the lower case of characters not listed here. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct unicode_range {
    uint32_t first, last;
    int32_t shift; /* unicode_lower only: from a character to its lower case */
};

struct unicode_table {
    const struct unicode_range *ranges; /* ascending */
    size_t count;
};

extern const struct unicode_table unicode_control;     /* removed by BERT's clean-up */
extern const struct unicode_table unicode_space;       /* separates words */
extern const struct unicode_table unicode_punctuation; /* a word of its own */
extern const struct unicode_table unicode_chinese;     /* gets spaces around it */
extern const struct unicode_table unicode_mark;        /* removed with the accents */
extern const struct unicode_table unicode_unordered;   /* combining class 0 to `tokenizers`, another one to utf8proc */
extern const struct unicode_table unicode_undivided;   /* no decomposition to `tokenizers`, one to utf8proc */
extern const struct unicode_table unicode_lower;       /* lower case unknown to utf8proc */

const struct unicode_range *unicode_find(const struct unicode_table *t, uint32_t c); /* NULL if c is in no range */
