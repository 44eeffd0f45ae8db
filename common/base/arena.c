/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/arena.h"

#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/base/memory_bound.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE ((size_t)65536) /* a multiple of any page size */
#define CHUNK_LEAST ((size_t)1 << 20)
#define CHUNK_MOST ((size_t)64 << 20)

struct chunk {
    char *bytes;
    size_t size;
    bool in_file;
};

struct arena {
    struct chunk *chunks; /* the last one is given out of */
    size_t count, capacity;
    size_t used;  /* of the last chunk */
    size_t total; /* of all chunks */
    size_t file_size;
    int file; /* -1: none yet */
    bool file_failed;
};

void arena_create(struct arena **ret)
{
    *ret = allocate(1, sizeof **ret);
    (*ret)->file = -1;
}

void arena_destroy(struct arena **arena)
{
    struct arena *a = arena ? *arena : NULL;
    if (!a)
        return;
    for (size_t i = 0; i < a->count; i++) {
        munmap(a->chunks[i].bytes, a->chunks[i].size);
        memory_bound_give_back(a->chunks[i].in_file ? 0 : a->chunks[i].size);
    }
    if (a->file >= 0)
        close(a->file);
    free(a->chunks);
    free(a);
    *arena = NULL;
}

/* The full chunk's content to the file, whose pages then take its place. */
static void move_to_file(struct arena *a, struct chunk *c)
{
    if (a->file < 0)
        a->file = file_temporary(NULL);
    a->file_failed = a->file < 0 || file_write_all(a->file, c->bytes, c->size) != 0;
    if (a->file_failed)
        return;
    void *there = mmap(c->bytes, c->size, PROT_READ, MAP_SHARED | MAP_FIXED, a->file, (off_t)a->file_size);
    if (there == MAP_FAILED)
        memory_end(1, c->size);
    c->in_file = true;
    a->file_size += c->size;
    memory_bound_give_back(c->size);
}

/* The more there is, the longer chunks are: their number stays small. */
static void add_chunk(struct arena *a, size_t needed)
{
    size_t size = a->total / 64 < CHUNK_LEAST ? CHUNK_LEAST : a->total / 64 > CHUNK_MOST ? CHUNK_MOST : a->total / 64;
    size = ((needed > size ? needed : size) + PAGE - 1) / PAGE * PAGE;
    if (!memory_bound_take(size)) {
        if (a->count > 0 && !a->file_failed)
            move_to_file(a, &a->chunks[a->count - 1]);
        memory_bound_count(size);
    }
    void *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (bytes == MAP_FAILED)
        memory_end(1, size);
    a->chunks = grow(a->chunks, &a->capacity, a->count + 1, sizeof *a->chunks);
    a->chunks[a->count++] = (struct chunk){bytes, size, false};
    a->total += size;
    a->used = 0;
}

char *arena_string(struct arena *a, const void *bytes, size_t size)
{
    if (a->count == 0 || a->chunks[a->count - 1].size - a->used <= size)
        add_chunk(a, size + 1);
    char *to = a->chunks[a->count - 1].bytes + a->used;
    if (size)
        memcpy(to, bytes, size);
    to[size] = 0;
    a->used += size + 1;
    return to;
}

void arena_rest(const struct arena *a)
{
    for (size_t i = 0; i < a->count; i++)
        if (a->chunks[i].in_file)
            madvise(a->chunks[i].bytes, a->chunks[i].size, MADV_DONTNEED);
}
