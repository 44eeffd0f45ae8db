/* SPDX-License-Identifier: Apache-2.0 */
/* Encoding: from bytes to token ids. */
#include "common/text/tokenizer.h"

#include "common/base/buffer.h"
#include "common/base/memory.h"
#include "common/json/json.h"
#include "common/text/tokenizer_parts.h"
#include "common/text/utf8.h"

#include <stdlib.h>
#include <string.h>

struct encoder {
    const struct tokenizer *tokenizer;
    const struct normalizer *normalizer;
    struct token_list *list;
    size_t stop;                 /* no more tokens are needed once the list has so many */
    struct workspace *workspace; /* of the pipeline, if there is one */
    const char *start;           /* where the original text starts; NULL: not in what is encoded now */
};

struct word {
    unsigned chars, size;
    uint8_t bytes[TOKENIZER_MAX_CHARS * 4];
};

static inline void push(struct token_list *l, int32_t id)
{
    token_list_put(l, id);
}

/* Appends the pieces of a normalised word, longest first, or the unknown token. */
static void push_word(const struct encoder *e, const uint8_t *p, size_t size, size_t chars)
{
    wordpiece_put(&e->tokenizer->wordpiece, p, size, chars, e->list);
}

static void finish_word(const struct encoder *e, struct word *w)
{
    if (w->chars)
        push_word(e, w->bytes, w->size, w->chars);
    w->chars = w->size = 0;
}

static inline void extend_word(struct word *w, const uint8_t *bytes, unsigned size, unsigned chars)
{
    w->chars += chars;
    if (w->chars > TOKENIZER_MAX_CHARS) { /* unknown whatever follows; must not wrap around either */
        w->chars = TOKENIZER_MAX_CHARS + 1;
        return;
    }
    memcpy(w->bytes + w->size, bytes, size);
    w->size += size;
}

static void add_final(const struct encoder *e, struct word *w, const uint32_t *c, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        uint8_t bytes[4];
        unsigned size = utf8_encode(c[i], bytes);
        enum character_kind kind = normalizer_kind(c[i]);
        if (kind == CHARACTER_WORD) {
            extend_word(w, bytes, size, 1);
            continue;
        }
        finish_word(e, w);
        if (kind == CHARACTER_SINGLE)
            push_word(e, bytes, size, 1);
    }
}

/* Everything up to the next ASCII space or punctuation mark, which no neighbour can change. Returns where that is. */
static const uint8_t *encode_stretch(const struct encoder *e, const uint8_t *p, const uint8_t *end)
{
    static const struct character complex = {.kind = CHARACTER_COMPLEX};
    const struct normalizer *n = e->normalizer;
    struct word word;
    struct normalizer_run run;
    uint32_t out[NORMALIZER_EXPANSION];
    word.chars = word.size = run.count = 0;
    while (p < end && e->list->count < e->stop) {
        uint32_t c;
        if (n->ascii_kind[*p] == CHARACTER_SPACE || n->ascii_kind[*p] == CHARACTER_SINGLE)
            break;
        p += utf8_decode(p, end, &c);
        const struct character *r = c < 0x10000 ? &n->plane[c] : &complex;
        if (r->kind == CHARACTER_NOTHING)
            continue;
        if (run.count && r->kind != CHARACTER_COMPLEX)
            add_final(e, &word, out, normalizer_flush(n, &run, out));
        if (r->kind == CHARACTER_WORD) {
            extend_word(&word, r->bytes, r->size, r->chars);
        } else if (r->kind == CHARACTER_COMPLEX) {
            add_final(e, &word, out, normalizer_expand(n, c, &run, out));
        } else {
            finish_word(e, &word);
            if (r->kind == CHARACTER_SINGLE)
                push_word(e, r->bytes, r->size, r->chars);
        }
    }
    add_final(e, &word, out, normalizer_flush(n, &run, out));
    finish_word(e, &word);
    return p;
}

/* A word that is likely ASCII throughout is matched where it stands, with no copy. */
static const uint8_t *encode_word(const struct encoder *e, const uint8_t *start, const uint8_t *end)
{
    const struct vocabulary_node *nodes = e->tokenizer->vocabulary.nodes;
    const uint8_t *kind = e->normalizer->ascii_kind, *to = e->normalizer->ascii_word, *match = start;
    size_t before = e->list->count;
    uint32_t root = VOCABULARY_START;
    for (;;) {
        uint32_t node = root;
        int32_t id = -1;
        for (const uint8_t *q = match; q < end && (node = vocabulary_step(nodes, node, to[*q])); q++)
            if (nodes[node].id >= 0) {
                id = nodes[node].id;
                match = q + 1;
            }
        if (id < 0)
            break;
        push(e->list, id);
        if (match == end || kind[*match] == CHARACTER_SPACE || kind[*match] == CHARACTER_SINGLE) {
            if ((size_t)(match - start) <= e->tokenizer->wordpiece.max_chars)
                return match;
            break;
        }
        root = VOCABULARY_CONTINUE;
    }
    e->list->count = before;
    while (match < end && kind[*match] == CHARACTER_WORD)
        match++;
    if (match < end && kind[*match] == CHARACTER_COMPLEX)
        return encode_stretch(e, start, end);
    push(e->list, e->tokenizer->wordpiece.unknown);
    return match;
}

/* Text without added tokens. */
static void encode_plain(const struct encoder *e, const char *text, size_t size)
{
    const uint8_t *p = (const uint8_t *)text, *end = p + size;
    while (p < end && e->list->count < e->stop) {
        switch (e->normalizer->ascii_kind[*p]) {
        case CHARACTER_SPACE:
            p++;
            break;
        case CHARACTER_SINGLE:
            push_word(e, p++, 1, 1);
            break;
        case CHARACTER_WORD:
            p = encode_word(e, p, end);
            break;
        default:
            p = encode_stretch(e, p, end);
        }
    }
}

typedef void encode_part(const struct encoder *e, const char *text, size_t size);

/* Added tokens of `set` become their ids; what is between goes to `rest`. */
static void encode_split(const struct encoder *e, const struct added_set *set, const char *text, size_t size, encode_part *rest)
{
    struct added_walk walk = {0};
    struct added_match match;
    size_t done = 0;
    while (e->list->count < e->stop && added_next(set, text, size, &walk, &match)) {
        if (match.start > done)
            rest(e, text + done, match.start - done);
        push(e->list, match.id);
        done = match.stop;
    }
    if (e->list->count < e->stop && done < size)
        rest(e, text + done, size - done);
}

static void encode_normalized(const struct encoder *e, const char *text, size_t size)
{
    struct buffer normal = {0};
    struct encoder plain = *e;
    plain.normalizer = e->tokenizer->plain;
    normalizer_text(e->normalizer, text, size, &normal);
    encode_split(&plain, &e->tokenizer->normalized, normal.data, normal.size, encode_plain);
    buffer_free(&normal);
}

static void encode_bert(const struct tokenizer *t, const char *text, size_t size, size_t stop, struct token_list *l)
{
    struct encoder e = {t, t->normalizer, l, stop};
    encode_split(&e, &t->raw, text, size, t->normalized.count ? encode_normalized : encode_plain);
}

/* Any other tokeniser. */

static bool starts_at(const struct encoder *e, const char *text)
{
    return text == e->start;
}

static void encode_pieces(const struct encoder *e, const char *text, size_t size)
{
    pipeline_encode(e->tokenizer->pipeline, e->workspace, (struct piece){text, size, starts_at(e, text)}, e->stop, e->list);
}

static void normalize_and_encode(const struct encoder *e, const char *text, size_t size)
{
    struct piece p = pipeline_normalize(e->tokenizer->pipeline, e->workspace, text, size, starts_at(e, text));
    struct encoder after = *e;
    after.start = p.first ? p.text : NULL;
    if (p.size)
        encode_split(&after, &e->tokenizer->normalized, p.text, p.size, encode_pieces);
}

static void encode_with_pipeline(const struct tokenizer *t, const char *text, size_t size, size_t stop, struct token_list *l)
{
    struct buffer repaired = {0};
    if (utf8_repair(text, size, &repaired)) {
        text = repaired.data;
        size = repaired.size;
    }
    struct encoder e = {.tokenizer = t, .list = l, .stop = stop, .workspace = pipeline_acquire(t->pipeline), .start = text};
    if (size)
        encode_split(&e, &t->raw, text, size, normalize_and_encode);
    pipeline_release(t->pipeline, e.workspace);
    buffer_free(&repaired);
}

void tokenizer_encode(const struct tokenizer *t, const char *text, size_t size, size_t limit, struct token_list *l)
{
    size_t stop = limit > SIZE_MAX - l->count ? SIZE_MAX : l->count + limit;
    if (t->pipeline)
        encode_with_pipeline(t, text, size, stop, l);
    else
        encode_bert(t, text, size, stop, l);
    if (l->count > stop)
        l->count = stop;
}

void token_list_reserve(struct token_list *l, size_t count)
{
    l->ids = grow(l->ids, &l->capacity, count, sizeof *l->ids);
}

void token_list_free(struct token_list *l)
{
    free(l->ids);
    *l = (struct token_list){0};
}

void tokenizer_close(struct tokenizer **tokenizer)
{
    struct tokenizer *t = tokenizer ? *tokenizer : NULL;
    if (!t)
        return;
    for (uint32_t i = 0; i < t->size; i++)
        free(t->words[i]);
    free(t->words);
    pipeline_destroy(&t->pipeline);
    vocabulary_free(&t->vocabulary);
    added_set_free(&t->raw);
    added_set_free(&t->normalized);
    for (size_t i = 0; i < t->added_count; i++)
        free(t->added[i].content);
    free(t->added);
    free(t->normalizer);
    free(t->plain);
    free(t->prefix);
    for (size_t i = 0; i < TOKENIZER_ROLES; i++)
        free(t->roles[i]);
    json_destroy(&t->root);
    free(t->disagreement);
    free(t);
    *tokenizer = NULL;
}

uint32_t tokenizer_size(const struct tokenizer *t)
{
    return t->id_count;
}

int32_t tokenizer_special(const struct tokenizer *t, const char *name)
{
    for (size_t i = 0; i < t->added_count; i++)
        if (!strcmp(t->added[i].content, name))
            return t->added[i].id;
    return vocabulary_find(&t->vocabulary, name, strlen(name));
}

const char *tokenizer_disagreement(const struct tokenizer *t)
{
    return t->disagreement;
}

const char *tokenizer_sha256(const struct tokenizer *t)
{
    return t->sha256;
}

const struct row_templates *tokenizer_templates(const struct tokenizer *t)
{
    return &t->templates;
}
