/* SPDX-License-Identifier: Apache-2.0 */
#include "common/text/compose.h"

#include "common/base/memory.h"
#include "common/text/utf8.h"

#include <string.h>

/* str.isspace of Python, which str.split cuts at. */
static bool is_space(uint32_t c)
{
    return c == ' ' || (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x1F) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

/* Bytes from `p` on that are ASCII and no space: most of most words, without decoding. */
static const uint8_t *skip_plain(const uint8_t *p, const uint8_t *end)
{
    while (p != end && *p > ' ' && *p < 0x80)
        p++;
    return p;
}

/* The next word at or after `p`: its start, its end in *stop; NULL if there is none. */
static const uint8_t *next_word(const uint8_t *p, const uint8_t *end, const uint8_t **stop)
{
    uint32_t c;
    unsigned n;
    while (p < end && (n = utf8_decode(p, end, &c), is_space(c)))
        p += n;
    if (p == end)
        return NULL;
    const uint8_t *start = p;
    while ((p = skip_plain(p, end)) < end && (n = utf8_decode(p, end, &c), !is_space(c)))
        p += n;
    *stop = p;
    return start;
}

bool text_is_blank(const char *text)
{
    const uint8_t *p = (const uint8_t *)text, *stop;
    return !text || !next_word(p, p + strlen(text), &stop);
}

/* Behind what has room for it. */
static void put(struct buffer *to, const void *bytes, size_t size)
{
    memcpy(to->data + to->size, bytes, size);
    to->size += size;
}

/* Whether it is its words with one space between two, as far as ASCII alone shows: no other white space, no space at its ends. */
static bool is_composed(const char *text, size_t size)
{
    const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
    bool plain = size > 0 && text[0] != ' ' && text[size - 1] != ' ';
    size_t at = 0;
    for (bool behind = false; plain && size - at >= 8; at += 8) { /* a space */
        uint64_t word;
        memcpy(&word, text + at, 8);
        uint64_t others = word ^ ones * ' ', spaces = ~((others & ~highs) + ~highs) & highs; /* of ASCII */
        plain = !((word | (word - ones * ' ')) & highs) && !(spaces & (spaces << 8 | (behind ? 0x80 : 0)));
        behind = spaces >> 63;
    }
    for (; plain && at < size; at++)
        plain = text[at] >= ' ' && !(text[at] == ' ' && text[at - 1] == ' ');
    return plain;
}

void compose_text(struct buffer *to, const char *const *fields, size_t count, const uint32_t *words, const char *joiner)
{
    bool joined = false;
    for (size_t i = 0; i < count; i++) {
        size_t size = fields[i] ? strlen(fields[i]) : 0, gap = joined ? strlen(joiner) : 0;
        const uint8_t *p = (const uint8_t *)fields[i], *end = p + size, *word;
        const char *before = joiner;
        to->data = grow(to->data, &to->capacity, to->size + gap + size + 1,
                        1); /* words and gaps of a space are no longer than the field */
        if (!(words && words[i]) && is_composed(fields[i], size)) {
            put(to, before, gap);
            put(to, fields[i], size);
            joined = true;
            continue;
        }
        for (uint32_t n = 0; size && !(words && words[i] && n == words[i]) && (word = next_word(p, end, &p)); n++) {
            put(to, before, gap);
            put(to, word, (size_t)(p - word));
            before = " ";
            gap = 1;
            joined = true;
        }
    }
    buffer_text(to, ""); /* a NUL even if there was nothing */
}
