/* SPDX-License-Identifier: Apache-2.0 */
/* The regular expressions that tokenizer.json files cut texts with, matched as Oniguruma does (leftmost, first alternative,
 * greedy with backtracking): literals, ., [...], \s \S \d \D \w \W \p{..} \P{..} of general categories, ? * + {n,m} on a
 * character or set, also possessive, groups ( (?: (?i: with ? at most, (?= (?!. Anything else is refused by name. */
#pragma once

#include "common/text/split.h"

struct pattern;

/* ERROR_USAGE: the expression has something else, which the message names, or matches the empty text. `path` is for messages. */
int pattern_create(struct pattern **ret, const char *expression, const char *path, struct error *e);
void pattern_destroy(void *pattern);
bool pattern_find(const void *pattern, const char *text, size_t size, size_t from, struct match *ret); /* a find_match */

pre_tokenizer_reader split_step_read; /* Split, with a Regex or a String */
