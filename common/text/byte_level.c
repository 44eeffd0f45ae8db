/* SPDX-License-Identifier: Apache-2.0 */
#include "common/text/byte_level.h"

#include "common/base/memory.h"
#include "common/text/character_class.h"
#include "common/text/utf8.h"

#include <stdlib.h>
#include <string.h>

struct byte_level {
    bool prefix;  /* a space goes in front of a piece that does not start with one */
    bool pattern; /* pieces by GPT-2's regular expression; else the piece stays whole */
    bool bytes;
};

unsigned byte_level_character(uint8_t byte, uint8_t to[2])
{
    uint32_t c = byte;
    if (byte < 33)
        c = 256u + byte;
    else if (byte >= 127 && byte <= 160)
        c = 256u + 33 + (byte - 127u);
    else if (byte == 173)
        c = 256u + 33 + 34;
    return utf8_encode(c, to);
}

static void append_mapped(struct buffer *to, const char *text, size_t size)
{
    uint8_t c[2];
    for (size_t i = 0; i < size; i++)
        buffer_append(to, c, byte_level_character((uint8_t)text[i], c));
}

enum kind { OTHER, LETTER, NUMBER, SPACE, END };

static const uint8_t kind_of_category[32] = {
    [CATEGORY_LU] = LETTER, [CATEGORY_LL] = LETTER, [CATEGORY_LT] = LETTER, [CATEGORY_LM] = LETTER,
    [CATEGORY_LO] = LETTER, [CATEGORY_ND] = NUMBER, [CATEGORY_NL] = NUMBER, [CATEGORY_NO] = NUMBER};

/* The kind of the character at p, and its size; END at the end. */
static inline enum kind kind_at(const uint8_t *classes, const uint8_t *p, const uint8_t *end, unsigned *size)
{
    uint32_t c = 0;
    *size = 0;
    if (p == end)
        return END;
    *size = utf8_decode(p, end, &c);
    return classes[c] & CLASS_SPACE ? SPACE : (enum kind)kind_of_category[classes[c] & CLASS_CATEGORY];
}

/* 's|'t|'re|'ve|'m|'ll|'d : how long the one at p is; 0: there is none. */
static unsigned contraction(const uint8_t *p, const uint8_t *end)
{
    if (*p != '\'' || end - p < 2)
        return 0;
    if (p[1] == 's' || p[1] == 't' || p[1] == 'm' || p[1] == 'd')
        return 2;
    if (end - p < 3)
        return 0;
    return ((p[1] == 'r' || p[1] == 'v') && p[2] == 'e') || (p[1] == 'l' && p[2] == 'l') ? 3 : 0;
}

/* White space from p on: all of it at the end of the text, else all but its last character, which goes with what follows if it is
 * a space and else is a piece of its own; at least one character. */
static const uint8_t *space_stop(const uint8_t *classes, const uint8_t *p, const uint8_t *end)
{
    const uint8_t *last = p, *at = p;
    unsigned size;
    enum kind kind;
    while ((kind = kind_at(classes, at, end, &size)) == SPACE) {
        last = at;
        at += size;
    }
    return kind == END || last == p ? at : last;
}

/* Where the match at p ends of: 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
static const uint8_t *match_stop(const uint8_t *classes, const uint8_t *p, const uint8_t *end)
{
    const uint8_t *at = p;
    unsigned size = contraction(p, end);
    if (size)
        return p + size;
    at += *p == ' ';
    enum kind kind = kind_at(classes, at, end, &size), next = kind;
    if (kind == SPACE || kind == END)
        return space_stop(classes, p, end);
    while (next == kind) {
        at += size;
        next = kind_at(classes, at, end, &size);
    }
    return at;
}

static void put(const struct byte_level *b, const char *text, size_t size, struct buffer *memory, struct piece_sink *to)
{
    if (b->bytes) {
        piece_put(to, text, size, false);
        return;
    }
    size_t start = memory->size;
    append_mapped(memory, text, size);
    piece_put(to, memory->data + start, memory->size - start, false);
}

static void apply(const void *state, struct piece p, struct buffer *memory, struct piece_sink *to)
{
    const struct byte_level *b = state;
    const uint8_t *classes = character_classes();
    bool prefixed = b->prefix && *p.text != ' ';
    if (prefixed) {
        buffer_append(memory, " ", 1);
        buffer_append(memory, p.text, p.size);
    }
    size_t size = p.size + prefixed;
    for (size_t at = 0, stop; at < size && !*to->full; at = stop) {
        const char *text = prefixed ? memory->data : p.text; /* `put` may move the memory */
        const uint8_t *bytes = (const uint8_t *)text;
        stop = b->pattern ? (size_t)(match_stop(classes, bytes + at, bytes + size) - bytes) : size;
        if (prefixed && !b->bytes) {
            char *copy = allocate(stop - at, 1);
            memcpy(copy, text + at, stop - at);
            put(b, copy, stop - at, memory, to);
            free(copy);
        } else {
            put(b, text + at, stop - at, memory, to);
        }
    }
}

int byte_level_read(struct pre_tokenizer_step *ret, const struct json *j, const struct pipeline_source *s, struct error *e)
{
    static const char *const keys[] = {"add_prefix_space", "use_regex"};
    struct byte_level *b = allocate(1, sizeof *b);
    bool *values[] = {&b->prefix, &b->pattern};
    b->pattern = true;
    for (size_t i = 0; i < 2; i++) {
        const struct json *value = json_get(j, keys[i]);
        if (value && json_type(value) == JSON_BOOLEAN)
            *values[i] = json_boolean(value);
        else if (value || i == 0) {
            free(b);
            return error_set(e, ERROR_DATA, "%s: its ByteLevel's \"%s\" is not true or false", s->path, keys[i]);
        }
    }
    *ret = (struct pre_tokenizer_step){apply, free, b};
    return 0;
}

bool byte_level_set_bytes(struct pre_tokenizer_step *step)
{
    if (step->apply != apply)
        return false;
    ((struct byte_level *)step->state)->bytes = true;
    return true;
}

static void normalize(const void *state, const char *text, size_t size, struct buffer *to)
{
    (void)state;
    append_mapped(to, text, size);
}

int byte_level_normalizer_read(struct normalizer_step *ret, const struct json *j, const struct pipeline_source *s,
                               struct error *e)
{
    (void)j, (void)s, (void)e;
    *ret = (struct normalizer_step){.apply = normalize};
    return 0;
}
