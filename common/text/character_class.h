/* SPDX-License-Identifier: Apache-2.0 */
/* What the regular expressions and character tests inside Hugging Face `tokenizers` take a character for: general category (of
 * the Oniguruma library), white space and numeric (of Rust), \w (of Rust's regular expressions). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum character_category {
    CATEGORY_CN, /* unassigned */
    CATEGORY_CC,
    CATEGORY_CF,
    CATEGORY_CO,
    CATEGORY_CS,
    CATEGORY_LU,
    CATEGORY_LL,
    CATEGORY_LT,
    CATEGORY_LM,
    CATEGORY_LO,
    CATEGORY_MN,
    CATEGORY_MC,
    CATEGORY_ME,
    CATEGORY_ND,
    CATEGORY_NL,
    CATEGORY_NO,
    CATEGORY_PC,
    CATEGORY_PD,
    CATEGORY_PS,
    CATEGORY_PE,
    CATEGORY_PI,
    CATEGORY_PF,
    CATEGORY_PO,
    CATEGORY_SM,
    CATEGORY_SC,
    CATEGORY_SK,
    CATEGORY_SO,
    CATEGORY_ZS,
    CATEGORY_ZL,
    CATEGORY_ZP
};

#define CLASS_CATEGORY 0x1F
#define CLASS_SPACE 0x20
#define CLASS_NUMERIC 0x40
#define CLASS_WORD 0x80

/* From `first` to the next run's. */
struct character_run {
    uint32_t first;
    uint8_t class;
};
extern const struct character_run character_runs[]; /* ascending */
extern const size_t character_run_count;

/* (0x110000): the class of every code point. Made at the first call, once for the process. */
const uint8_t *character_classes(void);
