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

#define LANES 16   /* starts whose words are looked up side by side, since each step waits for memory */
#define MATCHES 12 /* words that a lane keeps of its start */

/* A node of the vocabulary's trie, with the score of the word that ends there: one access to memory a step. */
struct node {
    double score;
    uint32_t base, parent;
    int32_t id; /* -1: no word */
};

/* The words that start at one place. */
struct lane {
    uint32_t next; /* the node to look at */
    uint32_t node; /* whose child it is, if it is one */
    uint32_t size; /* bytes up to that node */
    unsigned count;
    bool overflow; /* there are more */
    struct {
        double score;
        uint32_t size;
        int32_t id;
    } match[MATCHES];
};

struct unigram {
    const struct vocabulary *words;
    struct node *nodes;
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
    u->nodes = allocate(words->count, sizeof *u->nodes);
    u->unknown = (int32_t)unknown;
    u->byte_fallback = byte_fallback;
    for (size_t i = 0; i < count; i++)
        lowest = scores[i] < lowest ? scores[i] : lowest;
    for (size_t i = 0; i < words->count; i++) {
        const struct vocabulary_node *n = &words->nodes[i];
        u->nodes[i] = (struct node){n->id >= 0 ? scores[n->id] : 0, n->base, n->parent, n->id};
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
    free(u->nodes);
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

static inline void offer_at(struct search *s, size_t at, size_t size, double score, int32_t id)
{
    make_room(s, at + size + 1);
    offer(s->places + at + size, score, at, id);
}

/* All words that start at `text`, one step after the other. */
static size_t extend_directly(struct search *s, size_t at, size_t left, size_t one, bool *known)
{
    const struct node *nodes = s->u->nodes;
    const uint8_t *text = s->text + s->base + at;
    double score = s->places[at].score;
    size_t furthest = 0;
    uint32_t node = VOCABULARY_START;
    for (size_t i = 0; i < left; i++) {
        uint32_t next = nodes[node].base ^ text[i];
        if (nodes[next].parent != node)
            break;
        node = next;
        if (nodes[node].id < 0)
            continue;
        furthest = i + 1;
        *known |= furthest == one;
        offer_at(s, at, furthest, nodes[node].score + score, nodes[node].id);
    }
    return furthest;
}

/* What `lane` found at place `at`, which is `left` bytes before the end. Returns the place where the longest word ends. */
static size_t extend(struct search *s, const struct lane *lane, size_t at, size_t left)
{
    const struct unigram *u = s->u;
    size_t one = character_size(s->text[s->base + at]), furthest = 0;
    bool known = false;
    one = one < left ? one : left;
    if (lane->overflow)
        furthest = extend_directly(s, at, left, one, &known);
    double score = s->places[at].score;
    for (unsigned i = 0; i < lane->count && !lane->overflow; i++) {
        furthest = lane->match[i].size;
        known |= furthest == one;
        offer_at(s, at, furthest, lane->match[i].score + score, lane->match[i].id);
    }
    if (!known) {
        offer_at(s, at, one, u->unknown_score + score, u->unknown);
        furthest = furthest > one ? furthest : one;
    }
    return at + furthest;
}

static inline void step_to(struct lane *l, const struct node *nodes, uint32_t node, uint8_t byte)
{
    l->node = node;
    l->next = nodes[node].base ^ byte;
    __builtin_prefetch(&nodes[l->next]);
}

static inline void keep_match(struct lane *l, const struct node *n)
{
    if (l->count == MATCHES) {
        l->overflow = true;
        return;
    }
    l->match[l->count].score = n->score;
    l->match[l->count].size = l->size;
    l->match[l->count++].id = n->id;
}

/* Fills lanes for the next characters of `text`. Returns how many. */
static unsigned look_up(const struct unigram *u, const uint8_t *text, size_t size, struct lane *lanes)
{
    const struct node *nodes = u->nodes;
    const uint8_t *starts[LANES];
    unsigned active[LANES], count = 0;
    for (size_t at = 0; at < size && count < LANES; at += character_size(text[at]), count++) {
        struct lane *l = &lanes[count];
        l->count = l->size = 0;
        l->overflow = false;
        starts[count] = text + at;
        active[count] = count;
        step_to(l, nodes, VOCABULARY_START, text[at]);
    }
    unsigned left = count;
    while (left) {
        for (unsigned i = 0; i < left;) {
            struct lane *l = &lanes[active[i]];
            const struct node *n = &nodes[l->next];
            const uint8_t *at = starts[active[i]] + ++l->size;
            bool goes_on = n->parent == l->node;
            if (goes_on && n->id >= 0)
                keep_match(l, n);
            if (!goes_on || at == text + size) {
                active[i] = active[--left];
                continue;
            }
            step_to(l, nodes, l->next, *at);
            i++;
        }
    }
    return count;
}

void unigram_encode(const struct unigram *u, const uint8_t *text, size_t size, size_t stop, struct token_list *l)
{
    struct place first[WINDOW];
    struct lane lanes[LANES];
    struct search s = {
        .u = u, .text = text, .size = size, .places = first, .first = first, .capacity = WINDOW, .cleared = 1, .list = l};
    size_t at = 0, furthest = 0;
    unsigned lane = 0, filled = 0;
    first[0] = (struct place){0};
    while (s.base + at < size) {
        if (lane == filled) {
            filled = look_up(u, text + s.base + at, size - s.base - at, lanes);
            lane = 0;
        }
        size_t reached = extend(&s, &lanes[lane++], at, size - s.base - at);
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
