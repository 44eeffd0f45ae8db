/* SPDX-License-Identifier: Apache-2.0 */
/* The words of a vocabulary in a double-array trie (Aoe 1989): longest match first, one memory access a byte. */
#pragma once

#include "common/base/error.h"

#include <stddef.h>
#include <stdint.h>

/* A node; its child by byte b is node `base ^ b` if that one's `parent` is this node. */
struct vocabulary_node {
    uint32_t base, parent;
    int32_t id; /* of the word that ends here, or -1 */
};

struct vocabulary_entry {
    const char *word;
    int32_t id;
};

struct vocabulary {
    struct vocabulary_node *nodes;
    size_t count, capacity;
};

enum { VOCABULARY_START = 0, VOCABULARY_CONTINUE = 1 }; /* roots: of a word's first piece, and of the following ones */

/* `prefix` ("##") marks the words that continue one; NULL: there are none. Words are distinct. */
void vocabulary_build(struct vocabulary *v, const struct vocabulary_entry *entries, size_t count, const char *prefix);
void vocabulary_free(struct vocabulary *v);

static inline uint32_t vocabulary_step(const struct vocabulary_node *nodes, uint32_t node, uint8_t byte) /* 0: none */
{
    uint32_t next = nodes[node].base ^ byte;
    return nodes[next].parent == node ? next : 0;
}

static inline int32_t vocabulary_find(const struct vocabulary *v, const char *word, size_t size) /* -1: no such word */
{
    uint32_t node = VOCABULARY_START;
    for (size_t i = 0; i < size; i++)
        if (!(node = vocabulary_step(v->nodes, node, (uint8_t)word[i])))
            return -1;
    return v->nodes[node].id;
}
