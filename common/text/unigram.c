/* SPDX-License-Identifier: Apache-2.0 */
#include "common/text/unigram.h"

#include "common/base/memory.h"
#include "common/text/wordpiece.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNKNOWN_PENALTY 10.0
#define WINDOW 512 /* places between two cuts that need no memory of their own */

struct unigram {
    const struct vocabulary *words;
    double *scores; /* by id */
    double unknown_score;
    int32_t unknown;
    bool byte_fallback;
    int32_t bytes[256]; /* ids of <0x00> to <0xFF>; -1 if absent */
};

/* The best way to a place: its last word. */
struct place {
    double score;
    uint32_t start; /* of the word, + 1; 0: no way yet */
    uint32_t next;  /* where the chosen word from here ends */
    int32_t id;
};

/* Places are counted from `base`: the last place that every way goes through. */
struct search {
    const struct unigram *u;
    const uint8_t *text;
    size_t size, base;
    struct place *places, *first; /* first: WINDOW of them on the stack */
    size_t capacity, cleared;     /* places below `cleared` are in use */
    size_t unknown_start, unknown_end;
    struct token_list *list;
};

int unigram_create(struct unigram **ret, const struct vocabulary *words, const double *scores, size_t count, size_t unknown,
                   bool byte_fallback, struct error *e)
{
    if (!count)
        return error_set(e, ERROR_DATA, "the Unigram model has no words");
    if (unknown >= count || count > INT32_MAX)
        return error_set(e, ERROR_DATA, "the Unigram model's unknown token %zu is none of its %zu words", unknown, count);
    struct unigram *u = allocate(1, sizeof *u);
    double lowest = INFINITY;
    u->words = words;
    u->scores = allocate(count, sizeof *u->scores);
    u->unknown = (int32_t)unknown;
    u->byte_fallback = byte_fallback;
    for (size_t i = 0; i < count; i++) {
        u->scores[i] = scores[i];
        lowest = scores[i] < lowest ? scores[i] : lowest;
    }
    u->unknown_score = lowest - UNKNOWN_PENALTY;
    for (unsigned b = 0; b < 256; b++) {
        char word[8];
        snprintf(word, sizeof word, "<0x%02X>", b);
        u->bytes[b] = vocabulary_find(words, word, strlen(word));
    }
    *ret = u;
    return 0;
}

void unigram_destroy(struct unigram **unigram)
{
    struct unigram *u = *unigram;
    if (!u)
        return;
    free(u->scores);
    free(u);
    *unigram = NULL;
}

/* Unknown characters side by side are one token, unless together they are a word after all. */
static void push_unknown(struct search *s)
{
    const struct unigram *u = s->u;
    const uint8_t *text = s->text + s->unknown_start;
    size_t size = s->unknown_end - s->unknown_start;
    if (!size)
        return;
    s->unknown_start = s->unknown_end = 0;
    int32_t id = vocabulary_find(u->words, (const char *)text, size);
    bool bytes = id < 0 && u->byte_fallback;
    for (size_t i = 0; i < size && bytes; i++)
        bytes = u->bytes[text[i]] >= 0;
    if (!bytes)
        token_list_put(s->list, id < 0 ? u->unknown : id);
    for (size_t i = 0; i < size && bytes; i++)
        token_list_put(s->list, u->bytes[text[i]]);
}

static void push_word(struct search *s, size_t start, size_t end, int32_t id)
{
    if (id != s->u->unknown) {
        push_unknown(s);
        token_list_put(s->list, id);
        return;
    }
    if (s->unknown_start == s->unknown_end)
        s->unknown_start = start;
    s->unknown_end = end;
}

/* Every way goes through `end` (from base on): what leads there is settled. */
static void settle(struct search *s, size_t end)
{
    struct place *places = s->places;
    for (size_t at = end; at; at = places[at].start - 1)
        places[places[at].start - 1].next = (uint32_t)at;
    for (size_t at = 0; at < end; at = places[at].next)
        push_word(s, s->base + at, s->base + places[at].next, places[places[at].next].id);
    places[0] = (struct place){.score = places[end].score};
    s->base += end;
    s->cleared = 1;
}

static inline void make_room(struct search *s, size_t needed)
{
    if (needed <= s->cleared)
        return;
    if (needed > s->capacity) {
        size_t capacity = 2 * needed;
        struct place *larger = allocate(capacity, sizeof *larger);
        memcpy(larger, s->places, s->cleared * sizeof *larger);
        if (s->places != s->first)
            free(s->places);
        s->places = larger;
        s->capacity = capacity;
    }
    while (s->cleared < needed)
        s->places[s->cleared++].start = 0;
}

static inline void offer(struct place *to, double score, size_t start, int32_t id)
{
    if (!to->start || score > to->score)
        *to = (struct place){score, (uint32_t)start + 1, 0, id};
}

static inline size_t character_size(uint8_t lead)
{
    return lead < 0xC0 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

/* All words that start at place `at`, which is `left` bytes before the end. Returns the place where the longest of them ends. */
static size_t extend(struct search *s, size_t at, size_t left)
{
    const struct unigram *u = s->u;
    const struct vocabulary_node *nodes = u->words->nodes;
    const uint8_t *text = s->text + s->base + at;
    size_t one = character_size(*text), furthest = 0;
    bool known = false;
    one = one < left ? one : left;
    double score = s->places[at].score;
    make_room(s, at + one + 1);
    uint32_t node = VOCABULARY_START;
    for (size_t i = 0; i < left && (node = vocabulary_step(nodes, node, text[i])); i++) {
        int32_t id = nodes[node].id;
        if (id < 0)
            continue;
        furthest = i + 1;
        known |= furthest == one;
        make_room(s, at + furthest + 1);
        offer(s->places + at + furthest, u->scores[id] + score, at, id);
    }
    if (!known) {
        offer(s->places + at + one, u->unknown_score + score, at, u->unknown);
        furthest = furthest > one ? furthest : one;
    }
    return at + furthest;
}

void unigram_encode(const struct unigram *u, const uint8_t *text, size_t size, size_t stop, struct token_list *l)
{
    struct place first[WINDOW];
    struct search s = {
        .u = u, .text = text, .size = size, .places = first, .first = first, .capacity = WINDOW, .cleared = 1, .list = l};
    size_t at = 0, furthest = 0;
    first[0] = (struct place){0};
    while (s.base + at < size) {
        size_t reached = extend(&s, at, size - s.base - at);
        furthest = reached > furthest ? reached : furthest;
        at += character_size(text[s.base + at]);
        at = at < size - s.base ? at : size - s.base;
        if (at != furthest)
            continue;
        settle(&s, at);
        at = furthest = 0;
        if (l->count >= stop && s.unknown_start == s.unknown_end)
            break;
    }
    push_unknown(&s);
    if (s.places != first)
        free(s.places);
}

/* Digits and exponent of the shortest form that reads back the same. */
static int shortest(double value, uint64_t *digits)
{
    char text[40], mantissa[24];
    for (int precision = 14; precision < 17; precision++) {
        snprintf(text, sizeof text, "%.*e", precision, value);
        if (strtod(text, NULL) == value)
            break;
    }
    size_t used = 0;
    char *c = text;
    for (; *c && *c != 'e'; c++)
        if (*c >= '0' && *c <= '9')
            mantissa[used++] = *c;
    while (used > 1 && mantissa[used - 1] == '0')
        used--;
    mantissa[used] = 0;
    *digits = strtoull(mantissa, NULL, 10);
    return (int)strtol(c + 1, NULL, 10) - (int)used + 1;
}

static double power_of_ten(int exponent) /* 0 to 308; the nearest double, which pow() does not promise */
{
    char text[16];
    snprintf(text, sizeof text, "1e%d", exponent);
    return strtod(text, NULL);
}

double unigram_json_score(double value)
{
    uint64_t digits;
    if (!isfinite(value) || value == trunc(value))
        return value;
    int exponent = shortest(fabs(value), &digits);
    double f = (double)digits;
    if (exponent < -308) {
        f /= 1e308;
        exponent += 308;
    }
    f = exponent < 0 ? f / power_of_ten(-exponent) : f * power_of_ten(exponent);
    return value < 0 ? -f : f;
}

/* As the model of a pipeline. */

static void encode_piece(const void *state, void *scratch, const char *text, size_t size, struct token_list *to)
{
    (void)scratch;
    unigram_encode(state, (const uint8_t *)text, size, SIZE_MAX, to);
}

static void destroy_model(void *state)
{
    struct unigram *u = state;
    unigram_destroy(&u);
}

/* Scores of [word, score], a place of the list an id. */
static int read_scores(double *scores, const struct json *words, const char *path, struct error *e)
{
    for (size_t i = 0; i < json_size(words); i++) {
        const struct json *score = json_at(json_at(words, i), 1);
        if (!score || json_type(score) != JSON_NUMBER)
            return error_set(e, ERROR_DATA, "%s: word %zu of its Unigram model has no score", path, i);
        scores[i] = unigram_json_score(json_number(score));
    }
    return 0;
}

int unigram_read(struct token_model *ret, const struct json *j, const struct pipeline_source *s, struct error *e)
{
    const struct json *words = json_get(j, "vocab"), *unknown = json_get(j, "unk_id"), *fallback = json_get(j, "byte_fallback");
    double id = unknown && json_type(unknown) == JSON_NUMBER ? json_number(unknown) : -1;
    if (!(id >= 0 && id < INT32_MAX) || id != trunc(id))
        return error_set(e, ERROR_USAGE, "%s: its Unigram model has no unk_id; without it not every text has ids", s->path);
    double *scores = allocate(json_size(words), sizeof *scores);
    struct unigram *u = NULL;
    int failed = read_scores(scores, words, s->path, e);
    if (!failed && unigram_create(&u, s->vocabulary, scores, json_size(words), (size_t)id, json_boolean(fallback), e))
        failed = error_prefix(e, "%s: ", s->path);
    free(scores);
    if (!failed)
        *ret = (struct token_model){.encode = encode_piece, .destroy = destroy_model, .state = u};
    return failed;
}
