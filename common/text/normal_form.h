/* SPDX-License-Identifier: Apache-2.0 */
/* Unicode normal forms (UAX 15) and changes of single characters, as `tokenizers` has them: its data are of Unicode 9. Each
 * function appends the new text to *to; `text` is valid UTF-8, with or without NUL bytes. */
#pragma once

#include "common/base/buffer.h"
#include "common/text/unicode_table.h"

#include <stdbool.h>

enum normal_form { NORMAL_NFC, NORMAL_NFD, NORMAL_NFKC, NORMAL_NFKD };

void normal_form_apply(enum normal_form form, const char *text, size_t size, struct buffer *to);

void text_lower(const char *text, size_t size, struct buffer *to);
void text_strip(bool left, bool right, const char *text, size_t size, struct buffer *to); /* white space at the ends */
void text_strip_accents(const char *text, size_t size, struct buffer *to);                /* all combining marks */
void text_nmt(const char *text, size_t size, struct buffer *to); /* sentencepiece's nmt: controls away, odd spaces to ' ' */

extern const struct unicode_table normal_form_undivided; /* no compatibility decomposition to `tokenizers`, one to utf8proc */
extern const struct unicode_table normal_form_mark;      /* combining marks: Mn, Mc, Me */
