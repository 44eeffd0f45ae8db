/* SPDX-License-Identifier: Apache-2.0 */
/* Extended grapheme clusters: Unicode Standard Annex 29, rules GB1 to GB999, with the data of UCD 17, which `tokenizers` has
 * (utf8proc of Debian 12 has UCD 15 and no rule GB9c). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    GRAPHEME_OTHER,
    GRAPHEME_CR,
    GRAPHEME_LF,
    GRAPHEME_CONTROL,
    GRAPHEME_EXTEND,
    GRAPHEME_ZWJ,
    GRAPHEME_SPACING,
    GRAPHEME_PREPEND,
    GRAPHEME_REGIONAL,
    GRAPHEME_L,
    GRAPHEME_V,
    GRAPHEME_T,
    GRAPHEME_LV,
    GRAPHEME_LVT,
    GRAPHEME_PICTOGRAPHIC,
    GRAPHEME_CONSONANT, /* Indic_Conjunct_Break=Consonant */
    GRAPHEME_CLASS = 15,
    GRAPHEME_CONJUNCT = 16, /* besides: Indic_Conjunct_Break=Extend */
    GRAPHEME_LINKER = 32    /* besides: Indic_Conjunct_Break=Linker */
};

struct grapheme_range {
    uint32_t first, last;
    uint8_t property;
};
extern const struct grapheme_range grapheme_ranges[]; /* ascending */
extern const size_t grapheme_range_count;

/* One of the above, with CONJUNCT or LINKER. */
uint8_t grapheme_property(uint32_t c);

/* What is known of the text before: start with {0}. */
struct grapheme_state {
    bool inside; /* of a text; false at its start */
    uint8_t before;
    bool odd_regional; /* an odd number of regional indicators precedes */
    uint8_t emoji;     /* 1: pictographic Extend*; 2: and ZWJ */
    uint8_t conjunct;  /* 1: a consonant and what extends it; 2: and a linker */
};

/* Whether a cluster starts before the character with this property. */
bool grapheme_starts(struct grapheme_state *s, uint8_t property);
