/* SPDX-License-Identifier: Apache-2.0 */
/* The normaliser "Precompiled": sentencepiece's precompiled_charsmap (a darts double array and the replacements), as `tokenizers`
 * applies it: a grapheme cluster of fewer than 6 bytes is looked up whole and, where a key is its prefix, replaced whole by that
 * of the shortest such key; otherwise each of its characters is looked up by itself. */
#pragma once

#include "common/base/buffer.h"
#include "common/base/error.h"

#include <stdint.h>

struct precompiled;

/* The map is copied. ERROR_DATA: it is cut, or refers to places that it does not have. */
int precompiled_create(struct precompiled **ret, const void *map, size_t size, struct error *e);
void precompiled_destroy(struct precompiled **p);

/* Appends the normalised text. `text` is valid UTF-8. */
void precompiled_apply(const struct precompiled *p, const char *text, size_t size, struct buffer *to);
