/* SPDX-License-Identifier: Apache-2.0 */
/* The normaliser "Replace": every occurrence of a text, or of a simple regular expression, becomes another text. An expression is
 * one of alternatives `a|b`, each a literal text or one character (literal, \s, [set]) with +, {n}, {n,} or {n,m}, with or
 * without \A before and \z after it. Everything else is refused. */
#pragma once

#include "common/base/buffer.h"
#include "common/base/error.h"

#include <stdbool.h>

struct replace;

/* ERROR_USAGE, naming the pattern: not supported. */
int replace_create(struct replace **ret, const char *pattern, bool regular_expression, const char *content, struct error *e);
void replace_destroy(struct replace **r);
void replace_apply(const struct replace *r, const char *text, size_t size, struct buffer *to); /* appends */
