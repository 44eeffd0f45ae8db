/* SPDX-License-Identifier: Apache-2.0 */
/* TF-IDF: which terms are columns, and the values of a row. */
#include "common/text/tfidf.h"

#include "common/base/arena.h"
#include "common/base/memory.h"
#include "common/base/parallel.h"
#include "common/base/stop.h"
#include "common/base/table.h"

#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define NO_WORD UINT32_MAX
#define PAIRS_AT_ONCE (1u << 22) /* occurrences that the passes under way count: bounds their tables */
#define PAIRS_ALONE (1u << 16)   /* words of which pairs are counted by one thread */

/* Words that enough texts have are numbered in order of their bytes. A term's key is then in order of the term's bytes too: the
 * space between two words comes before every character of a word. */
static uint64_t key_of(uint32_t first, uint32_t second /* NO_WORD: a single word */)
{
    return (uint64_t)first << 32 | (uint32_t)(second + 1);
}

struct term {
    uint64_t key, count; /* of occurrences */
    uint32_t texts;      /* that have it */
};

struct tfidf {
    struct arena *arena;
    struct table *words;
    uint64_t *keys; /* (columns) */
    double *idf;    /* (columns) */
    uint32_t columns;
    uint32_t *slots; /* column + 1 by key, or 0 */
    size_t slot_mask;
};

static uint64_t mix(uint64_t x) /* finaliser of MurmurHash3 */
{
    x = (x ^ x >> 33) * 0xFF51AFD7ED558CCDu;
    x = (x ^ x >> 33) * 0xC4CEB9FE1A85EC53u;
    return x ^ x >> 33;
}

/* ---- the words of all texts, as numbers ---- */

struct word_count {
    uint32_t texts, last; /* last: text + 1 that was counted */
    uint64_t count;
};

struct corpus {
    struct arena *arena;
    struct table *words;
    struct word_count *counts; /* by word */
    uint32_t *stream;          /* of words, text after text */
    uint64_t *starts;          /* (texts + 1) into stream */
    size_t texts, capacity, count_capacity;
};

static void corpus_free(struct corpus *c)
{
    arena_destroy(&c->arena);
    table_destroy(&c->words);
    free(c->counts);
    free(c->stream);
    free(c->starts);
}

static uint32_t number_of(struct corpus *c, const struct buffer *word)
{
    uint32_t number = table_find(c->words, word->data);
    if (number != TABLE_ABSENT)
        return number;
    number = table_add(c->words, arena_string(c->arena, word->data, word->size));
    c->counts = grow(c->counts, &c->count_capacity, number + (size_t)1, sizeof *c->counts);
    c->counts[number] = (struct word_count){0};
    return number;
}

static int read_corpus(struct corpus *c, const char *const *texts, size_t count, struct error *e)
{
    struct words scan = {0};
    size_t size = 0;
    arena_create(&c->arena);
    table_create(&c->words);
    c->texts = count;
    c->starts = allocate(count + 1, sizeof *c->starts);
    for (size_t i = 0; i < count; i++) {
        if (i % 256 == 0 && stop_check(e) != 0) {
            words_free(&scan);
            return -1;
        }
        for (words_start(&scan, texts[i]); words_next(&scan);) {
            uint32_t number = number_of(c, &scan.word);
            struct word_count *w = &c->counts[number];
            w->count++;
            w->texts += w->last != i + 1;
            w->last = (uint32_t)i + 1;
            c->stream = grow(c->stream, &c->capacity, size + 1, sizeof *c->stream);
            c->stream[size++] = number;
        }
        c->starts[i + 1] = size;
    }
    words_free(&scan);
    return 0;
}

/* ---- which terms stay ---- */

struct term_list {
    struct term *terms;
    size_t count, capacity;
};

static int by_count(const void *a, const void *b)
{
    const struct term *x = a, *y = b;
    return x->count != y->count ? (x->count < y->count) - (x->count > y->count) : (x->key > y->key) - (x->key < y->key);
}

static int by_key(const void *a, const void *b)
{
    uint64_t x = ((const struct term *)a)->key, y = ((const struct term *)b)->key;
    return (x > y) - (x < y);
}

static void add_term(struct term_list *l, struct term t)
{
    l->terms = grow(l->terms, &l->capacity, l->count + 1, sizeof *l->terms);
    l->terms[l->count++] = t;
}

/* The terms that occur most. Done now and then, it bounds the list, and the outcome is that of once at the end. */
static void keep_most(struct term_list *l, size_t limit)
{
    if (l->count <= limit)
        return;
    qsort(l->terms, l->count, sizeof *l->terms, by_count);
    l->count = limit;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Moves the words that enough texts have to t, numbered in order of their bytes, and renumbers the corpus. */
static void keep_words(struct tfidf *t, struct term_list *list, struct corpus *c, const struct tfidf_options *o)
{
    size_t all = table_count(c->words), kept = 0;
    const char **names = allocate(all, sizeof *names);
    uint32_t *number = allocate(all, sizeof *number);
    for (uint32_t i = 0; i < all; i++)
        if (c->counts[i].texts >= o->min_df)
            names[kept++] = table_key(c->words, i);
    qsort(names, kept, sizeof *names, by_text);
    for (size_t i = 0; i < kept; i++)
        table_add(t->words, arena_string(t->arena, names[i], strlen(names[i])));
    for (uint32_t i = 0; i < all; i++) {
        number[i] = table_find(t->words, table_key(c->words, i));
        if (number[i] != NO_WORD)
            add_term(list, (struct term){key_of(number[i], NO_WORD), c->counts[i].count, c->counts[i].texts});
    }
    for (uint64_t i = 0; i < c->starts[c->texts]; i++)
        c->stream[i] = number[c->stream[i]];
    free(number);
    free(names);
}

struct pair {
    uint64_t key; /* 0: empty, since a pair's second word is not absent */
    uint32_t texts, last, count;
};

struct pair_table {
    struct pair *slots;
    size_t size, used;
};

static struct pair *pair_slot(const struct pair_table *t, uint64_t key, uint64_t hash)
{
    size_t slot = hash & (t->size - 1);
    while (t->slots[slot].key && t->slots[slot].key != key)
        slot = (slot + 1) & (t->size - 1);
    return &t->slots[slot];
}

static void grow_pairs(struct pair_table *t)
{
    struct pair_table larger = {.slots = allocate(t->size * 2, sizeof *larger.slots), .size = t->size * 2, .used = t->used};
    for (size_t i = 0; i < t->size; i++)
        if (t->slots[i].key)
            *pair_slot(&larger, t->slots[i].key, mix(t->slots[i].key)) = t->slots[i];
    free(t->slots);
    *t = larger;
}

static void count_pair(struct pair_table *t, uint64_t key, uint64_t hash, uint32_t text)
{
    struct pair *p = pair_slot(t, key, hash);
    if (!p->key) {
        p->key = key;
        t->used++;
    }
    p->count++;
    p->texts += p->last != text + 1;
    p->last = text + 1;
    if (2 * t->used > t->size)
        grow_pairs(t);
}

/* Those pairs of neighbours whose hash falls into this pass. A pair is in no more texts than its words, so pairs with a word that
 * was dropped need no counting. */
static int count_pairs(struct pair_table *t, const struct corpus *c, uint64_t pass, uint64_t passes, struct error *e)
{
    memset(t->slots, 0, t->size * sizeof *t->slots);
    t->used = 0;
    for (size_t i = 0; i < c->texts; i++) {
        if (i % 1024 == 0 && stop_check(e) != 0)
            return -1;
        for (uint64_t k = c->starts[i] + 1; k < c->starts[i + 1]; k++) {
            uint32_t first = c->stream[k - 1], second = c->stream[k];
            if (first == NO_WORD || second == NO_WORD)
                continue;
            uint64_t key = key_of(first, second), hash = mix(key);
            if ((hash >> 32) % passes == pass)
                count_pair(t, key, hash, (uint32_t)i);
        }
    }
    return 0;
}

struct pair_passes {
    const struct corpus *corpus;
    const struct tfidf_options *options;
    uint64_t count;
    pthread_mutex_t lock; /* of the list */
    struct term_list *list;
};

/* Whichever pass ends first: what keep_most leaves and the order of columns do not depend on the order in which terms came. */
static void keep_pairs_of(void *context, size_t begin, size_t end)
{
    struct pair_passes *p = context;
    struct pair_table t = {.size = 1024};
    struct error stopped; /* which parallel_blocks asks for */
    t.slots = allocate(t.size, sizeof *t.slots);
    for (size_t pass = begin; pass < end && count_pairs(&t, p->corpus, pass, p->count, &stopped) == 0; pass++) {
        pthread_mutex_lock(&p->lock);
        for (size_t i = 0; i < t.size; i++)
            if (t.slots[i].key && t.slots[i].texts >= p->options->min_df)
                add_term(p->list, (struct term){t.slots[i].key, t.slots[i].count, t.slots[i].texts});
        keep_most(p->list, p->options->max_features);
        pthread_mutex_unlock(&p->lock);
    }
    free(t.slots);
}

/* Threads share what one pass may count; few texts are counted in one. */
static int keep_pairs(struct term_list *list, const struct corpus *c, const struct tfidf_options *o, struct error *e)
{
    const uint64_t words = c->starts[c->texts], threads = words > PAIRS_ALONE ? (uint64_t)parallel_threads() : 1;
    struct pair_passes p = {.corpus = c,
                            .options = o,
                            .count = threads * (1 + words / PAIRS_AT_ONCE),
                            .lock = PTHREAD_MUTEX_INITIALIZER,
                            .list = list};
    int status = parallel_blocks(p.count, 1, keep_pairs_of, &p, e);
    pthread_mutex_destroy(&p.lock);
    return status;
}

/* ---- columns ---- */

static uint32_t *column_slot(const struct tfidf *t, uint64_t key)
{
    size_t slot = mix(key) & t->slot_mask;
    while (t->slots[slot] && t->keys[t->slots[slot] - 1] != key)
        slot = (slot + 1) & t->slot_mask;
    return &t->slots[slot];
}

static void make_columns(struct tfidf *t, struct term_list *list, size_t texts)
{
    size_t slots = 16;
    qsort(list->terms, list->count, sizeof *list->terms, by_key);
    while (slots < 2 * list->count)
        slots *= 2;
    t->slot_mask = slots - 1;
    t->slots = allocate(slots, sizeof *t->slots);
    t->keys = allocate(list->count, sizeof *t->keys);
    t->idf = allocate(list->count, sizeof *t->idf);
    t->columns = (uint32_t)list->count;
    for (uint32_t i = 0; i < t->columns; i++) {
        t->keys[i] = list->terms[i].key;
        t->idf[i] = log((1.0 + (double)texts) / (1.0 + list->terms[i].texts)) + 1;
        *column_slot(t, t->keys[i]) = i + 1;
    }
}

int tfidf_fit(struct tfidf **ret, const char *const *texts, size_t count, const struct tfidf_options *o, struct error *e)
{
    struct corpus c = {0};
    struct term_list list = {0};
    struct tfidf *t = allocate(1, sizeof *t);
    arena_create(&t->arena);
    table_create(&t->words);
    int status = read_corpus(&c, texts, count, e);
    if (status == 0) {
        keep_words(t, &list, &c, o);
        status = keep_pairs(&list, &c, o, e);
    }
    if (status == 0 && list.count == 0)
        status = error_set(e, ERROR_DATA, "no word of two or more letters is in %u or more of the %zu texts", o->min_df, count);
    if (status == 0)
        make_columns(t, &list, count);
    free(list.terms);
    corpus_free(&c);
    if (status == 0)
        *ret = t;
    else
        tfidf_destroy(&t);
    return status;
}

void tfidf_destroy(struct tfidf **t)
{
    if (!t || !*t)
        return;
    table_destroy(&(*t)->words);
    arena_destroy(&(*t)->arena);
    free((*t)->slots);
    free((*t)->keys);
    free((*t)->idf);
    free(*t);
    *t = NULL;
}

uint32_t tfidf_columns(const struct tfidf *t)
{
    return t->columns;
}

char *tfidf_term(const struct tfidf *t, uint32_t column)
{
    uint32_t first = (uint32_t)(t->keys[column] >> 32), second = (uint32_t)t->keys[column] - 1;
    const char *word = table_key(t->words, first);
    return second == NO_WORD ? duplicate(word) : format_string("%s %s", word, table_key(t->words, second));
}

/* ---- rows ---- */

static void add_column(struct tfidf_row *row, const struct tfidf *t, uint64_t key)
{
    uint32_t column = *column_slot(t, key);
    if (!column)
        return;
    row->columns = grow(row->columns, &row->column_capacity, row->count + 1, sizeof *row->columns);
    row->columns[row->count++] = column - 1;
}

static int by_column(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Columns with repetitions become columns with values. */
static void weigh(struct tfidf_row *row, const struct tfidf *t)
{
    size_t all = row->count, kept = 0;
    double length = 0;
    qsort(row->columns, all, sizeof *row->columns, by_column);
    row->values = grow(row->values, &row->value_capacity, all, sizeof *row->values);
    for (size_t i = 0; i < all; kept++) {
        size_t start = i;
        uint32_t column = row->columns[start];
        while (i < all && row->columns[i] == column)
            i++;
        double value = (1 + log((double)(i - start))) * t->idf[column];
        row->columns[kept] = column;
        row->values[kept] = value;
        length += value * value;
    }
    for (size_t i = 0; i < kept; i++)
        row->values[i] /= sqrt(length);
    row->count = kept;
}

void tfidf_transform(struct tfidf_row *row, const struct tfidf *t, const char *text)
{
    uint32_t before = NO_WORD;
    row->count = 0;
    for (words_start(&row->scan, text); words_next(&row->scan);) {
        uint32_t word = table_find(t->words, row->scan.word.data);
        if (word != NO_WORD)
            add_column(row, t, key_of(word, NO_WORD));
        if (word != NO_WORD && before != NO_WORD)
            add_column(row, t, key_of(before, word));
        before = word;
    }
    if (row->count)
        weigh(row, t);
}

void tfidf_row_free(struct tfidf_row *row)
{
    free(row->columns);
    free(row->values);
    words_free(&row->scan);
    *row = (struct tfidf_row){0};
}
