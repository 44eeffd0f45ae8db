/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/arena.h"

#include "common/base/memory.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK ((size_t)1 << 20)

struct chunk {
    struct chunk *next;
    char bytes[];
};

struct arena {
    struct chunk *chunks;
    size_t used, size; /* of the first chunk */
};

void arena_create(struct arena **ret)
{
    *ret = allocate(1, sizeof **ret);
}

void arena_destroy(struct arena **a)
{
    if (!a || !*a)
        return;
    for (struct chunk *c = (*a)->chunks, *next; c; c = next) {
        next = c->next;
        free(c);
    }
    free(*a);
    *a = NULL;
}

char *arena_string(struct arena *a, const void *bytes, size_t size)
{
    if (!a->chunks || a->size - a->used <= size) {
        a->size = size + 1 > CHUNK ? size + 1 : CHUNK;
        struct chunk *c = allocate(1, sizeof *c + a->size);
        c->next = a->chunks;
        a->chunks = c;
        a->used = 0;
    }
    char *to = a->chunks->bytes + a->used;
    if (size)
        memcpy(to, bytes, size);
    to[size] = 0;
    a->used += size + 1;
    return to;
}
