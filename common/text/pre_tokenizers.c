/* SPDX-License-Identifier: Apache-2.0 */
#include "common/text/pre_tokenizers.h"

#include "common/base/memory.h"
#include "common/text/character_class.h"
#include "common/text/split.h"
#include "common/text/unicode_table.h"
#include "common/text/utf8.h"

#include <stdlib.h>
#include <string.h>

typedef bool is_member(uint32_t c);

static bool is_space(uint32_t c)
{
    return character_classes()[c] & CLASS_SPACE;
}

static bool is_numeric(uint32_t c)
{
    return character_classes()[c] & CLASS_NUMERIC;
}

static bool is_word(uint32_t c)
{
    return character_classes()[c] & CLASS_WORD;
}

static bool is_punctuation(uint32_t c)
{
    return unicode_find(&unicode_punctuation, c);
}

/* Each character of a kind is a match. */
struct kind {
    is_member *is;
    enum split_behavior behavior;
};

static bool find_character(const void *pattern, const char *text, size_t size, size_t from, struct match *ret)
{
    const struct kind *k = pattern;
    const uint8_t *start = (const uint8_t *)text, *end = start + size;
    uint32_t c;
    for (const uint8_t *p = start + from; p < end;) {
        unsigned n = utf8_decode(p, end, &c);
        if (k->is(c)) {
            *ret = (struct match){(size_t)(p - start), (size_t)(p - start) + n};
            return true;
        }
        p += n;
    }
    return false;
}

static void apply_kind(const void *state, struct piece p, struct buffer *memory, struct piece_sink *to)
{
    const struct kind *k = state;
    (void)memory;
    split_piece(p, find_character, k, k->behavior, false, to);
}

static int set_kind(struct pre_tokenizer_step *ret, is_member *is, enum split_behavior behavior)
{
    struct kind *k = allocate(1, sizeof *k);
    *k = (struct kind){is, behavior};
    *ret = (struct pre_tokenizer_step){apply_kind, free, k};
    return 0;
}

int whitespace_split_read(struct pre_tokenizer_step *ret, const struct json *j, const struct pipeline_source *s, struct error *e)
{
    (void)j, (void)s, (void)e;
    return set_kind(ret, is_space, SPLIT_REMOVED);
}

int punctuation_read(struct pre_tokenizer_step *ret, const struct json *j, const struct pipeline_source *s, struct error *e)
{
    const char *name = json_string(json_get(j, "behavior"));
    enum split_behavior behavior = SPLIT_ISOLATED;
    if (name && split_behavior_read(&behavior, name, s->path, e))
        return -1;
    return set_kind(ret, is_punctuation, behavior);
}

int digits_read(struct pre_tokenizer_step *ret, const struct json *j, const struct pipeline_source *s, struct error *e)
{
    (void)s, (void)e;
    return set_kind(ret, is_numeric, json_boolean(json_get(j, "individual_digits")) ? SPLIT_ISOLATED : SPLIT_CONTIGUOUS);
}

/* BertPreTokenizer: white space away, punctuation alone. */
static void apply_bert(const void *state, struct piece p, struct buffer *memory, struct piece_sink *to)
{
    const uint8_t *text = (const uint8_t *)p.text, *end = text + p.size, *word = text;
    uint32_t c;
    (void)state, (void)memory;
    for (const uint8_t *at = text; at < end && !*to->full;) {
        unsigned n = utf8_decode(at, end, &c);
        bool space = is_space(c);
        if (space || is_punctuation(c)) {
            piece_put(to, (const char *)word, (size_t)(at - word), p.first && word == text);
            if (!space)
                piece_put(to, (const char *)at, n, p.first && at == text);
            word = at + n;
        }
        at += n;
    }
    piece_put(to, (const char *)word, (size_t)(end - word), p.first && word == text);
}

int bert_pre_tokenizer_read(struct pre_tokenizer_step *ret, const struct json *j, const struct pipeline_source *s,
                            struct error *e)
{
    (void)j, (void)s, (void)e;
    *ret = (struct pre_tokenizer_step){.apply = apply_bert};
    return 0;
}

/* Whitespace: \w+|[^\w\s]+ */
static void apply_whitespace(const void *state, struct piece p, struct buffer *memory, struct piece_sink *to)
{
    enum { SPACE, WORD, OTHER } kind = SPACE, next;
    const uint8_t *text = (const uint8_t *)p.text, *end = text + p.size, *run = text;
    uint32_t c;
    (void)state, (void)memory;
    for (const uint8_t *at = text; at < end && !*to->full; kind = next) {
        unsigned n = utf8_decode(at, end, &c);
        next = is_word(c) ? WORD : is_space(c) ? SPACE : OTHER;
        if (next != kind) {
            if (kind != SPACE)
                piece_put(to, (const char *)run, (size_t)(at - run), p.first && run == text);
            run = at;
        }
        at += n;
    }
    if (kind != SPACE)
        piece_put(to, (const char *)run, (size_t)(end - run), p.first && run == text);
}

int whitespace_read(struct pre_tokenizer_step *ret, const struct json *j, const struct pipeline_source *s, struct error *e)
{
    (void)j, (void)s, (void)e;
    *ret = (struct pre_tokenizer_step){.apply = apply_whitespace};
    return 0;
}

/* CharDelimiterSplit: at every such character, which goes away. */
static bool find_delimiter(const void *pattern, const char *text, size_t size, size_t from, struct match *ret)
{
    const char *delimiter = pattern;
    size_t n = strlen(delimiter);
    const char *found = memmem(text + from, size - from, delimiter, n);
    if (found)
        *ret = (struct match){(size_t)(found - text), (size_t)(found - text) + n};
    return found;
}

static void apply_delimiter(const void *state, struct piece p, struct buffer *memory, struct piece_sink *to)
{
    (void)memory;
    split_piece(p, find_delimiter, state, SPLIT_REMOVED, false, to);
}

int delimiter_read(struct pre_tokenizer_step *ret, const struct json *j, const struct pipeline_source *s, struct error *e)
{
    const char *delimiter = json_string(json_get(j, "delimiter"));
    if (!delimiter || !*delimiter)
        return error_set(e, ERROR_DATA, "%s: its CharDelimiterSplit has no delimiter", s->path);
    *ret = (struct pre_tokenizer_step){apply_delimiter, free, duplicate(delimiter)};
    return 0;
}
