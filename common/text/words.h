/* SPDX-License-Identifier: Apache-2.0 */
/* Words of a text as scikit-learn's vectorizers see them: lower case (Python's str.lower), then runs of two or more characters of
 * the regular expression class \w (letters, numbers, '_'). */
#pragma once

#include "common/base/buffer.h"

#include <stdbool.h>
#include <stdint.h>

struct words {
    const uint8_t *start, *at, *end;
    struct buffer word; /* the last one found, until the next call */
};

void words_start(struct words *w, const char *text); /* w is zero-initialised once, and reused */
bool words_next(struct words *w);
void words_free(struct words *w);
