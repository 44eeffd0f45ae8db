/* SPDX-License-Identifier: Apache-2.0 */
/* Input composition: fields of a row into one text. Each field has white space (Python's str.split: Unicode) collapsed to
 * one space and trimmed, and is cut behind so many words; the non-empty ones are joined with `joiner`. */
#pragma once

#include "common/base/buffer.h"

#include <stdbool.h>
#include <stdint.h>

bool text_is_blank(const char *text); /* NULL, "", only white space */
void compose_text(struct buffer *to /* appended */, const char *const *fields /* NULL entries are skipped */, size_t count,
                  const uint32_t *words /* (count) at most; 0: all; NULL: all of all */, const char *joiner);
