/* SPDX-License-Identifier: Apache-2.0 */
/* The BPE model of a pipeline: the first symbols of a piece, with unknown ones, then its merges. */
#include "common/text/bpe.h"

#include "common/base/memory.h"
#include "common/text/byte_level.h"
#include "common/text/utf8.h"
#include "common/text/wordpiece.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORD_START 0x2581 /* a space to sentencepiece */

/* Kinds of characters as far as merges over their borders are noted: ASCII each its own, U+2581, all others. */
enum { CLASS_WORD_START = 128, CLASS_OTHER, CLASSES };

struct bpe {
    const struct vocabulary *vocabulary;
    struct merges merges;
    char *prefix, *suffix; /* of every symbol but the first, of the last; "": none */
    int32_t unknown;       /* -1: unknown symbols vanish */
    bool fuse;             /* neighbouring unknown symbols become one */
    bool whole_first;      /* ignore_merges: a piece that is a token is that token */
    bool bytes;            /* a piece is bytes, not the characters that stand for them */
    bool has_fallback;
    bool odd_merges;                /* an unknown or fallback symbol may merge */
    bool known[CLASSES];            /* all characters of the class are symbols */
    bool crosses[CLASSES][CLASSES]; /* a merge joins a token that ends with the one to a token that starts with the other */
    int32_t fallback[256];          /* <0x00> and on; -1: not in the vocabulary */
    int32_t symbol[2][2][256];      /* of a byte: behind others?, the last?; -1: none */
};

struct scratch {
    struct merge_scratch merge;
    struct buffer text; /* a piece of bytes as characters */
    struct buffer part; /* a character with its prefix and suffix */
};

/* The first symbols where one of them may not be in the vocabulary. */

struct symbols {
    const struct bpe *bpe;
    struct token_list *to;
    bool unknown; /* one is owed */
    bool odd;     /* there was one that no character gives */
};

static void flush_unknown(struct symbols *s)
{
    if (s->unknown)
        token_list_put(s->to, s->bpe->unknown);
    s->unknown = false;
}

/* By bytes; false: one of them is not in the vocabulary. An unknown symbol before them is put behind, as `tokenizers` has it. */
static bool fall_back(struct symbols *s, const char *part, size_t size)
{
    if (!s->bpe->has_fallback)
        return false;
    for (size_t i = 0; i < size; i++)
        if (s->bpe->fallback[(uint8_t)part[i]] < 0)
            return false;
    for (size_t i = 0; i < size; i++)
        token_list_put(s->to, s->bpe->fallback[(uint8_t)part[i]]);
    return true;
}

static void put_symbol(struct symbols *s, const char *part, size_t size)
{
    int32_t id = vocabulary_find(s->bpe->vocabulary, part, size);
    if (id >= 0) {
        flush_unknown(s);
        token_list_put(s->to, id);
        return;
    }
    s->odd = true;
    if (fall_back(s, part, size) || s->bpe->unknown < 0)
        return;
    if (!s->bpe->fuse)
        flush_unknown(s);
    s->unknown = true;
}

/* Appends the symbols of a text of characters. */
static bool put_characters(const struct bpe *b, const char *text, size_t size, struct buffer *part, struct token_list *to)
{
    struct symbols s = {.bpe = b, .to = to};
    bool plain = !*b->prefix && !*b->suffix;
    for (size_t at = 0, n; at < size; at += n) {
        uint32_t c;
        n = utf8_decode((const uint8_t *)text + at, (const uint8_t *)text + size, &c);
        if (plain) {
            put_symbol(&s, text + at, n);
            continue;
        }
        buffer_clear(part);
        buffer_text(part, at ? b->prefix : "");
        buffer_append(part, text + at, n);
        buffer_text(part, at + n == size ? b->suffix : "");
        put_symbol(&s, part->data, part->size);
    }
    flush_unknown(&s);
    return s.odd;
}

/* Appends the symbols of a piece of bytes; false, and none, if one is not in the vocabulary. */
static bool put_bytes(const struct bpe *b, const char *text, size_t size, struct token_list *to)
{
    token_list_reserve(to, to->count + size);
    int32_t *ids = to->ids + to->count, lowest = 0;
    for (size_t i = 0; i < size; i++) {
        ids[i] = b->symbol[i > 0][i + 1 == size][(uint8_t)text[i]];
        lowest = ids[i] < lowest ? ids[i] : lowest;
    }
    if (lowest < 0)
        return false;
    to->count += size;
    return true;
}

static void map_bytes(const char *text, size_t size, struct buffer *to)
{
    uint8_t c[2];
    buffer_clear(to);
    for (size_t i = 0; i < size; i++)
        buffer_append(to, c, byte_level_character((uint8_t)text[i], c));
}

static void encode(const void *state, void *memory, const char *text, size_t size, struct token_list *to)
{
    const struct bpe *b = state;
    struct scratch *s = memory;
    size_t before = to->count;
    bool odd = false;
    if (b->bytes && (b->whole_first || !put_bytes(b, text, size, to))) {
        map_bytes(text, size, &s->text);
        text = s->text.data;
        size = s->text.size;
    }
    if (b->whole_first) {
        int32_t id = vocabulary_find(b->vocabulary, text, size);
        if (id >= 0) {
            token_list_put(to, id);
            return;
        }
    }
    if (to->count == before)
        odd = put_characters(b, text, size, &s->part, to);
    size_t n = to->count - before;
    if (!n)
        return;
    if (n <= MERGES_SCAN && !(odd && b->odd_merges))
        n = merges_apply_scan(&b->merges, to->ids + before, n);
    else
        n = merges_apply_heap(&b->merges, to->ids + before, n, &s->merge);
    to->count = before + n;
}

/* Reading. */

static void bpe_destroy(void *state)
{
    struct bpe *b = state;
    merges_free(&b->merges);
    free(b->prefix);
    free(b->suffix);
    free(b);
}

static void *scratch_create(const void *state)
{
    (void)state;
    return allocate(1, sizeof(struct scratch));
}

static void scratch_destroy(void *memory)
{
    struct scratch *s = memory;
    merge_scratch_free(&s->merge);
    buffer_free(&s->text);
    buffer_free(&s->part);
    free(s);
}

static unsigned class_of(uint32_t c)
{
    return c < 128 ? c : c == WORD_START ? CLASS_WORD_START : CLASS_OTHER;
}

static unsigned first_class(const char *word)
{
    uint32_t c = 0;
    if (*word)
        utf8_decode((const uint8_t *)word, (const uint8_t *)word + strlen(word), &c);
    return class_of(c);
}

static unsigned last_class(const char *word)
{
    const char *last = word + strlen(word);
    while (last > word && ((uint8_t) * --last & 0xC0) == 0x80)
        ;
    return first_class(last);
}

static int32_t find_word(const struct bpe *b, const char *word)
{
    return vocabulary_find(b->vocabulary, word, strlen(word));
}

/* A symbol that stands for other text than its own. */
static bool is_odd(const struct bpe *b, int32_t id, const char *word)
{
    return id == b->unknown || (b->has_fallback && !strncmp(word, "<0x", 3));
}

static int put_merge(struct bpe *b, size_t rank, const char *left, const char *right, struct buffer *joined, const char *path,
                     struct error *e)
{
    size_t prefix = strlen(b->prefix), size = strlen(right);
    if (size < prefix)
        return error_set(e, ERROR_DATA, "%s: merge %zu: \"%.60s\" is shorter than continuing_subword_prefix", path, rank, right);
    buffer_clear(joined);
    buffer_text(joined, left);
    buffer_text(joined, right + prefix);
    const char *words[] = {left, right, joined->data};
    int32_t ids[3];
    for (size_t i = 0; i < 3; i++)
        if ((ids[i] = find_word(b, words[i])) < 0)
            return error_set(
                e, ERROR_DATA,
                "%s: merge %zu, \"%.60s\" with \"%.60s\", needs the token \"%.60s\", which the vocabulary does not have; "
                "vocabulary and merges belong to different models",
                path, rank, left, right, words[i]);
    merges_put(&b->merges, (struct merge){ids[0], ids[1], (uint32_t)rank, ids[2]});
    b->crosses[last_class(left)][first_class(right)] = true;
    b->odd_merges = b->odd_merges || is_odd(b, ids[0], left) || is_odd(b, ids[1], right);
    return 0;
}

/* "a b"; the line is cut there in *memory. */
static int split_merge(const char *words[2], const char *line, struct buffer *memory, const char *path, size_t rank,
                       struct error *e)
{
    buffer_clear(memory);
    buffer_text(memory, line);
    char *space = strchr(memory->data, ' ');
    if (!space || strchr(space + 1, ' '))
        return error_set(e, ERROR_DATA, "%s: merge %zu is \"%.60s\", not two tokens with a space between them", path, rank, line);
    *space = 0;
    words[0] = memory->data;
    words[1] = space + 1;
    return 0;
}

static int read_merges(struct bpe *b, const struct json *list, const char *path, struct error *e)
{
    struct buffer memory = {0}, joined = {0};
    int result = 0;
    size_t rank = 0;
    merges_create(&b->merges, json_size(list));
    for (size_t i = 0; i < json_size(list) && !result; i++) {
        const struct json *j = json_at(list, i);
        const char *line = json_string(j), *words[2] = {json_string(json_at(j, 0)), json_string(json_at(j, 1))};
        if (line && !strncmp(line, "#version", 8))
            continue;
        if (line)
            result = split_merge(words, line, &memory, path, rank, e);
        else if (!words[0] || !words[1] || json_size(j) != 2)
            result = error_set(e, ERROR_DATA, "%s: merge %zu is neither \"a b\" nor [\"a\", \"b\"]", path, rank);
        if (!result)
            result = put_merge(b, rank++, words[0], words[1], &joined, path, e);
    }
    buffer_free(&memory);
    buffer_free(&joined);
    return result;
}

static int read_settings(struct bpe *b, const struct json *j, const char *path, struct error *e)
{
    const char *unknown = json_string(json_get(j, "unk_token")), *prefix = json_string(json_get(j, "continuing_subword_prefix")),
               *suffix = json_string(json_get(j, "end_of_word_suffix"));
    if (json_number(json_get(j, "dropout")) > 0)
        return error_set(
            e, ERROR_USAGE,
            "%s: its model has dropout %g, which gives other tokens each time and is not supported; set \"dropout\" to "
            "null",
            path, json_number(json_get(j, "dropout")));
    b->unknown = unknown ? find_word(b, unknown) : -1;
    if (unknown && b->unknown < 0)
        return error_set(e, ERROR_DATA, "%s: the vocabulary has no \"%.60s\", which is its model's unk_token", path, unknown);
    b->prefix = duplicate(prefix ? prefix : "");
    b->suffix = duplicate(suffix ? suffix : "");
    b->fuse = json_boolean(json_get(j, "fuse_unk"));
    b->whole_first = json_boolean(json_get(j, "ignore_merges"));
    b->has_fallback = json_boolean(json_get(j, "byte_fallback"));
    for (unsigned i = 0; i < 256; i++) {
        char name[8];
        snprintf(name, sizeof name, "<0x%02X>", i);
        b->fallback[i] = find_word(b, name);
    }
    return 0;
}

int bpe_read(struct token_model *ret, const struct json *j, const struct pipeline_source *s, struct error *e)
{
    struct bpe *b = allocate(1, sizeof *b);
    const struct json *merges = json_get(j, "merges");
    b->vocabulary = s->vocabulary;
    if (!merges || json_type(merges) != JSON_ARRAY) {
        error_set(e, ERROR_DATA, "%s: its BPE model has no list of \"merges\"", s->path);
        goto fail;
    }
    if (read_settings(b, j, s->path, e) || read_merges(b, merges, s->path, e))
        goto fail;
    *ret = (struct token_model){encode, scratch_create, scratch_destroy, bpe_destroy, b};
    return 0;
fail:
    bpe_destroy(b);
    return -1;
}

static int32_t symbol_of(const struct bpe *b, uint8_t byte, bool behind, bool last)
{
    struct buffer part = {0};
    uint8_t c[2];
    buffer_text(&part, behind ? b->prefix : "");
    buffer_append(&part, c, byte_level_character(byte, c));
    buffer_text(&part, last ? b->suffix : "");
    int32_t id = vocabulary_find(b->vocabulary, part.data, part.size);
    buffer_free(&part);
    return id;
}

bool bpe_is(const struct token_model *m)
{
    return m->encode == encode;
}

void bpe_set_bytes(struct token_model *m)
{
    struct bpe *b = m->state;
    b->bytes = true;
    for (unsigned i = 0; i < 4 * 256; i++)
        b->symbol[i >> 9][i >> 8 & 1][i & 255] = symbol_of(b, (uint8_t)(i & 255), i >> 9, i >> 8 & 1);
}

/* Where no merge reaches over, and an unknown symbol on the left is put before the known one on the right in any case. */
static void cut(const void *state, struct piece p, struct buffer *memory, struct piece_sink *to)
{
    const struct bpe *b = state;
    const uint8_t *text = (const uint8_t *)p.text, *end = text + p.size, *start = text;
    unsigned before = CLASS_OTHER, class;
    (void)memory;
    for (const uint8_t *at = text; at < end && !*to->full; before = class) {
        uint32_t c = *at;
        unsigned n = c < 128 ? 1 : utf8_decode(at, end, &c);
        class = class_of(c);
        if (at > start && b->known[class] && !b->crosses[before][class]) {
            piece_put(to, (const char *)start, (size_t)(at - start), p.first && start == text);
            start = at;
        }
        at += n;
    }
    piece_put(to, (const char *)start, (size_t)(end - start), p.first && start == text);
}

bool bpe_cut_step(struct pre_tokenizer_step *ret, const struct token_model *m)
{
    struct bpe *b = m->state;
    if (!bpe_is(m) || b->bytes || b->whole_first || b->odd_merges || *b->prefix || *b->suffix)
        return false;
    for (unsigned c = 0; c < 128; c++)
        b->known[c] = vocabulary_find(b->vocabulary, (char[]){(char)c}, 1) >= 0;
    b->known[CLASS_WORD_START] = find_word(b, "\xE2\x96\x81") >= 0;
    *ret = (struct pre_tokenizer_step){.apply = cut, .state = b};
    return true;
}
