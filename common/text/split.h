/* SPDX-License-Identifier: Apache-2.0 */
/* Cutting a text by a pattern: where the pattern matches, and what becomes of the matches. */
#pragma once

#include "common/text/pipeline.h"

/* `tokenizers`' SplitDelimiterBehavior */
enum split_behavior { SPLIT_REMOVED, SPLIT_ISOLATED, SPLIT_MERGED_WITH_PREVIOUS, SPLIT_MERGED_WITH_NEXT, SPLIT_CONTIGUOUS };

struct match {
    size_t start, stop;
};

/* The first match that starts at or after `from`; false: there is none. */
typedef bool find_match(const void *pattern, const char *text, size_t size, size_t from, struct match *ret);

/* `invert`: what does not match counts as the match. */
void split_piece(struct piece p, find_match *find, const void *pattern, enum split_behavior behavior, bool invert,
                 struct piece_sink *to);

/* A behaviour by its name in tokenizer.json. ERROR_DATA: no such name. */
int split_behavior_read(enum split_behavior *ret, const char *name, const char *path, struct error *e);
