/* SPDX-License-Identifier: Apache-2.0 */
/* Where a row's texts A and B and the special tokens around them stand: the post_processor of tokenizer.json. */
#pragma once

#include "common/base/error.h"

#include <stdint.h>

#define TEMPLATE_SPECIALS 16 /* most of one template */

struct row_template {
    int32_t specials[TEMPLATE_SPECIALS];  /* in order: those before A, between A and B, after the last text */
    unsigned before, between, after, all; /* how many of each */
    /* Tokens of type 0 come first: so many special ones, with A whole and B whole. */
    unsigned first_specials;
    bool first_a, first_b;
};

struct row_templates {
    struct row_template single, pair;
};

/* cls A sep, cls A sep B sep as BERT (types 0, 1) or, with `twice`, cls A sep sep B sep as RoBERTa (type 0 throughout). */
struct row_templates row_templates_of(int32_t cls, int32_t sep, bool twice);

/* ERROR_USAGE: a kind of post_processor, or an order of texts or types, that is not supported, named. ERROR_DATA: a template
 * without A, or with a token that it does not give an id. NULL or null: no special tokens. */
struct json;
int row_templates_read(struct row_templates *ret, const struct json *post_processor, const char *path, struct error *e);
