/* SPDX-License-Identifier: Apache-2.0 */
#include "common/format/rows_ahead.h"

#include "common/base/memory.h"
#include "common/base/parallel.h"

#include <stdlib.h>

#define BLOCK_BYTES ((size_t)128 << 10)
#define THREADS_MOST 16 /* more would wait for the reader, who makes something of each row */

struct taken_row {
    size_t start, end; /* of its bytes among those of the block */
    struct row_met met;
    struct error *error; /* of taking it; NULL: none */
};

struct parsed_row {
    struct json *row; /* NULL with an error */
    struct row_met met;
    struct error *error;
};

struct block {
    struct buffer bytes;
    struct taken_row *taken;
    size_t count, taken_capacity;
    struct parsed_row *parsed;
    size_t parsed_count, parsed_capacity;
};

struct rows_ahead {
    struct rows_source source;
    struct block first; /* a file of one block needs no helpers */
    struct block *slots;
    size_t slot_count;
    struct ordered *ordered; /* NULL while the first block is read */
    bool begun, ended;
    const struct block *block; /* that rows are handed out of */
    size_t at;
};

/* Rows up to the size of a block; false: there is none. */
static bool take_block(void *context, void *slot)
{
    struct rows_ahead *a = context;
    struct block *b = slot;
    buffer_clear(&b->bytes);
    b->count = 0;
    while (!a->ended && b->bytes.size < BLOCK_BYTES) {
        struct error e;
        struct taken_row row = {.start = b->bytes.size};
        int more = a->source.take(a->source.context, &b->bytes, &row.met, &e);
        row.end = b->bytes.size;
        a->ended = more == 0 || (more < 0 && row.met.failed);
        if (more == 0)
            break;
        if (more < 0) {
            row.error = allocate(1, sizeof e);
            *row.error = e;
        }
        b->taken = grow(b->taken, &b->taken_capacity, b->count + 1, sizeof *b->taken);
        b->taken[b->count++] = row;
    }
    return b->count > 0;
}

static void clear_parsed(struct block *b)
{
    for (size_t i = 0; i < b->parsed_count; i++) {
        json_destroy(&b->parsed[i].row);
        free(b->parsed[i].error);
    }
    b->parsed_count = 0;
}

static void parse_row(const struct rows_source *s, struct parsed_row *to, const struct taken_row *row, const char *bytes)
{
    struct error e;
    *to = (struct parsed_row){.met = row->met, .error = row->error};
    if (row->error || s->parse(s->context, &to->row, bytes + row->start, row->end - row->start, &to->met, &e) == 0)
        return;
    to->error = allocate(1, sizeof e);
    *to->error = e;
}

static void parse_block(void *context, void *slot)
{
    const struct rows_ahead *a = context;
    struct block *b = slot;
    clear_parsed(b);
    b->parsed = grow(b->parsed, &b->parsed_capacity, b->count, sizeof *b->parsed);
    for (; b->parsed_count < b->count; b->parsed_count++)
        parse_row(&a->source, &b->parsed[b->parsed_count], &b->taken[b->parsed_count], b->bytes.data);
    b->count = 0; /* the errors are now those of the parsed rows */
}

void rows_ahead_create(struct rows_ahead **ret, const struct rows_source *source)
{
    struct rows_ahead *a = allocate(1, sizeof *a);
    a->source = *source;
    *ret = a;
}

static void free_block(struct block *b)
{
    clear_parsed(b);
    for (size_t i = 0; i < b->count; i++)
        free(b->taken[i].error);
    free(b->parsed);
    free(b->taken);
    buffer_free(&b->bytes);
}

void rows_ahead_destroy(struct rows_ahead **ahead)
{
    struct rows_ahead *a = ahead ? *ahead : NULL;
    if (!a)
        return;
    ordered_destroy(&a->ordered);
    for (size_t i = 0; i < a->slot_count; i++)
        free_block(&a->slots[i]);
    free_block(&a->first);
    free(a->slots);
    free(a);
    *ahead = NULL;
}

static void begin_ahead(struct rows_ahead *a)
{
    int threads = parallel_threads() < THREADS_MOST ? parallel_threads() : THREADS_MOST;
    a->slot_count = 2 * (size_t)threads + 1;
    a->slots = allocate(a->slot_count, sizeof *a->slots);
    const struct ordered_work work = {.take = take_block, .make = parse_block, .context = a, .threads = threads};
    ordered_create(&a->ordered, &work, a->slots, a->slot_count, sizeof *a->slots);
}

static const struct block *next_block(struct rows_ahead *a)
{
    if (!a->begun) {
        a->begun = true;
        if (!take_block(a, &a->first))
            return NULL;
        parse_block(a, &a->first);
        return &a->first;
    }
    if (!a->ordered && !a->ended)
        begin_ahead(a);
    return a->ordered ? ordered_next(a->ordered) : NULL;
}

int rows_ahead_next(struct rows_ahead *a, const struct json **row, struct row_met *met, struct error *e)
{
    if (!a->block || a->at == a->block->parsed_count) {
        a->block = next_block(a);
        a->at = 0;
    }
    if (!a->block)
        return 0;
    const struct parsed_row *next = &a->block->parsed[a->at++];
    *met = next->met;
    if (next->error) {
        if (e)
            *e = *next->error;
        return -1;
    }
    *row = next->row;
    return 1;
}
