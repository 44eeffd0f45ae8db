/* SPDX-License-Identifier: Apache-2.0 */
/* "Did you mean": the candidate nearest to a mistyped word. */
#pragma once

#include <stddef.h>

/* By optimal string alignment (Levenshtein's edits, and two neighbours exchanged count as one), ignoring ASCII case; NULL if none
 * is within a third of the word's length (at least 1), or the word has more than 64 characters. Borrowed from candidates. */
const char *near_word(const char *word, const char *const *candidates, size_t count);
/* "; did you mean 'x'?" into text, or "" if nothing is near. Returns text. */
const char *near_hint(char *text, size_t size, const char *word, const char *const *candidates, size_t count);
