/* SPDX-License-Identifier: Apache-2.0 */
/* WordPiece: a word becomes its longest pieces from the left, or the unknown token. */
#pragma once

#include "common/text/pipeline.h"

struct wordpiece {
    const struct vocabulary_node *nodes;
    int32_t unknown;
    unsigned max_chars; /* longer words are unknown */
};

static inline void token_list_put(struct token_list *l, int32_t id)
{
    if (l->count == l->capacity)
        token_list_reserve(l, l->count + 1);
    l->ids[l->count++] = id;
}

/* Appends the pieces of a word of `chars` characters. */
static inline void wordpiece_put(const struct wordpiece *w, const uint8_t *p, size_t size, size_t chars, struct token_list *to)
{
    size_t before = to->count;
    uint32_t root = VOCABULARY_START;
    if (chars > w->max_chars) {
        token_list_put(to, w->unknown);
        return;
    }
    for (const uint8_t *end = p + size, *match; p < end; p = match, root = VOCABULARY_CONTINUE) {
        int32_t id = -1;
        uint32_t node = root;
        for (const uint8_t *q = match = p; q < end && (node = vocabulary_step(w->nodes, node, *q)); q++)
            if (w->nodes[node].id >= 0) {
                id = w->nodes[node].id;
                match = q + 1;
            }
        if (id < 0) {
            to->count = before;
            token_list_put(to, w->unknown);
            return;
        }
        token_list_put(to, id);
    }
}

token_model_reader wordpiece_read, word_level_read;
