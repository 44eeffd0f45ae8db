/* SPDX-License-Identifier: Apache-2.0 */
/* What texts have in common that look alike. */
#pragma once

#include "common/base/buffer.h"

/* Appends `text` without what sets apart texts that one takes for the same: case, white space at its ends and more than one
 * between words, characters that are not seen, and the ways to write a character (Unicode's NFKC, caseless). */
void fold_text(struct buffer *to, const char *text);
