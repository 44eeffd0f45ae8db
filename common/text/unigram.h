/* SPDX-License-Identifier: Apache-2.0 */
/* The Unigram model (Kudo 2018): of all ways to cut a piece of text into words of the vocabulary, the one with the highest sum of
 * scores. Equal to `tokenizers`, ties and rounding too: f64, from left to right, a later way replaces an earlier one only if it
 * is strictly better. A character that is no word itself counts as unknown, with the lowest score - 10; neighbouring unknowns are
 * one token. */
#pragma once

#include "common/text/pipeline.h"

#include <stdbool.h>

struct unigram;

/* The words are those of `words` (borrowed: it lives longer), `scores` (copied) belong to the ids below `count`, also to ids that
 * no word has any more, since a later one is spelled the same. byte_fallback: unknown text becomes its bytes' words <0x00> to
 * <0xFF>, if the vocabulary has them all. ERROR_DATA: no words, or `unknown` is none of their ids. */
int unigram_create(struct unigram **ret, const struct vocabulary *words, const double *scores, size_t count, size_t unknown,
                   bool byte_fallback, struct error *e);
void unigram_destroy(struct unigram **u);

/* Appends the ids of normalised text (valid UTF-8) to *l; stops at a word's end once *l has `stop` tokens or more. Any number of
 * threads. */
void unigram_encode(const struct unigram *u, const uint8_t *text, size_t size, size_t stop, struct token_list *l);

/* What serde_json (without float_roundtrip), and so `tokenizers`, reads where `value` stands in a JSON file in its shortest form:
 * not always the nearest double. */
double unigram_json_score(double value);

token_model_reader unigram_read;
