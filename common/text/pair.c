/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of model input: two texts, truncated and put between special tokens. */
#include "common/text/pair.h"

#include "common/base/memory.h"
#include "common/base/stop.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK 64 /* rows handed to a thread at a time */

const char *const truncation_names[] = {"only_second", "longest_first", "only_first", NULL};

/* How many tokens of each text stay. */
struct lengths {
    size_t first, second;
};

/* `tokenizers` (utils/truncation.rs): the longer gives until both are equal; then half each, the odd one to the second,
 * or to the first if that was the longer. */
static struct lengths cut_longest(struct lengths n, size_t room)
{
    bool swap = n.first > n.second;
    size_t shorter = swap ? n.second : n.first, longer = room > shorter ? room - shorter : 0;
    if (longer < shorter) {
        shorter = room / 2;
        longer = room - shorter;
    }
    return swap ? (struct lengths){longer, shorter} : (struct lengths){shorter, longer};
}

/* Only `cut` gives, and keeps a token at least; where that is not enough `tokenizers` fails, and here `cut` goes whole and
 * then `kept` gives as well. */
static void cut_only(size_t *cut, size_t *kept, size_t room)
{
    *cut = *kept < room ? room - *kept : 0;
    *kept = *kept < room ? *kept : room;
}

/* Both texts behind `before` places that are left for special tokens. */
static void encode_both(struct pair *p, const struct tokenizer *t, const char *a, size_t a_size, const char *b, size_t b_size,
                        size_t before, size_t limit, struct lengths *n)
{
    p->tokens.count = before;
    tokenizer_encode(t, a, a_size, limit, &p->tokens);
    n->first = p->tokens.count - before;
    tokenizer_encode(t, b, b_size, limit, &p->tokens);
    n->second = p->tokens.count - before - n->first;
}

static struct lengths truncate_pair(struct pair *p, struct lengths n, size_t room, enum truncation truncation)
{
    struct lengths cut = n;
    if (truncation == TRUNCATE_LONGEST_FIRST) {
        cut = cut_longest(n, room);
    } else if (truncation == TRUNCATE_ONLY_SECOND) {
        p->first_too_long = n.first >= room;
        cut_only(&cut.second, &cut.first, room);
    } else {
        cut_only(&cut.first, &cut.second, room);
    }
    return cut;
}

/* Puts the special tokens around the texts: the second, `whole` tokens behind the start of the first, moves up to it. */
static void fill_template(struct pair *p, const struct row_template *t, struct lengths n, size_t whole)
{
    token_list_reserve(&p->tokens, n.first + n.second + t->all);
    int32_t *ids = p->tokens.ids, *between = ids + t->before + n.first;
    const int32_t *specials = t->specials;
    memmove(between + t->between, ids + t->before + whole, n.second * sizeof *ids);
    memcpy(ids, specials, t->before * sizeof *ids);
    memcpy(between, specials + t->before, t->between * sizeof *ids);
    memcpy(between + t->between + n.second, specials + t->before + t->between, t->after * sizeof *ids);
    p->tokens.count = n.first + n.second + t->all;
    p->first = (uint32_t)(t->first_specials + (t->first_a ? n.first : 0) + (t->first_b ? n.second : 0));
}

void pair_encode(struct pair *p, const struct tokenizer *t, const char *a, size_t a_size, const char *b, size_t b_size,
                 uint32_t max_length, enum truncation truncation)
{
    const struct row_templates *templates = tokenizer_templates(t);
    const struct row_template *template = b ? &templates->pair : &templates->single;
    size_t specials = template->all, room = max_length > specials ? max_length - specials : 0;
    struct lengths n = {0};
    p->truncated = p->first_too_long = false;
    token_list_reserve(&p->tokens, specials + 1);
    encode_both(p, t, a, a_size, b ? b : "", b ? b_size : 0, template->before, room + 1, &n);
    /* Half of an odd room: who gets the odd token depends on which text is longer, so they must be known whole. */
    if (truncation == TRUNCATE_LONGEST_FIRST && room % 2 && n.first > room && n.second > room)
        encode_both(p, t, a, a_size, b, b_size, template->before, SIZE_MAX, &n);
    size_t whole = n.first;
    if (n.first + n.second > room) {
        if (b)
            n = truncate_pair(p, n, room, truncation);
        else
            n.first = room;
        p->truncated = true;
    }
    fill_template(p, template, n, whole);
}

struct work {
    struct pair *results;
    const struct tokenizer *tokenizer;
    const char *const *a, *const *b;
    size_t rows;
    uint32_t max_length;
    enum truncation truncation;
    atomic_size_t next;
    atomic_bool stopped;
};

/* The row's own memory is exactly what it needs; the scratch stays with the thread. */
static void encode_row(struct work *w, size_t row, struct pair *scratch)
{
    const char *a = w->a[row], *b = w->b ? w->b[row] : NULL;
    pair_encode(scratch, w->tokenizer, a, strlen(a), b, b ? strlen(b) : 0, w->max_length, w->truncation);
    struct pair *r = &w->results[row];
    *r = *scratch;
    r->tokens.capacity = r->tokens.count;
    r->tokens.ids = allocate(r->tokens.count, sizeof *r->tokens.ids);
    memcpy(r->tokens.ids, scratch->tokens.ids, r->tokens.count * sizeof *r->tokens.ids);
}

static void *encode_chunks(void *argument)
{
    struct work *w = argument;
    struct pair scratch = {0};
    for (size_t row; (row = atomic_fetch_add(&w->next, CHUNK)) < w->rows;) {
        if (stop_requested()) {
            atomic_store(&w->stopped, true);
            break;
        }
        for (size_t end = row + CHUNK < w->rows ? row + CHUNK : w->rows; row < end; row++)
            encode_row(w, row, &scratch);
    }
    token_list_free(&scratch.tokens);
    return NULL;
}

int pair_encode_all(struct pair *results, const struct tokenizer *t, const char *const *a, const char *const *b, size_t rows,
                    uint32_t max_length, enum truncation truncation, int threads, struct error *e)
{
    struct work w = {results, t, a, b, rows, max_length, truncation};
    pthread_t helpers[256];
    int started = 0;
    memset(results, 0, rows * sizeof *results);
    /* This thread works too; helpers that cannot be had are done without. */
    while (started < threads - 1 && started < 256 && (size_t)started * CHUNK < rows &&
           !pthread_create(&helpers[started], NULL, encode_chunks, &w))
        started++;
    encode_chunks(&w);
    while (started)
        pthread_join(helpers[--started], NULL);
    if (!atomic_load(&w.stopped))
        return 0;
    for (size_t i = 0; i < rows; i++)
        token_list_free(&results[i].tokens);
    memset(results, 0, rows * sizeof *results);
    return stop_check(e);
}
