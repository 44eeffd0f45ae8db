/* SPDX-License-Identifier: Apache-2.0 */
#include "common/text/precompiled.h"

#include "common/base/memory.h"
#include "common/text/grapheme.h"
#include "common/text/utf8.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define WHOLE 6 /* clusters of fewer bytes are looked up whole */
#define KEEP (-1)

struct precompiled {
    uint32_t *units;
    size_t count;
    char *replacements; /* each ends with NUL */
    size_t size;
    uint8_t property[0x10000]; /* of graphemes */
    /* The character stays as it is, and a cluster ends between any two of these. */
    bool plain[0x10000];
};

/* Units of a darts double array (Yata): bit 8 says that a value stands below, bits 10 and up the distance to the children. */
static uint32_t unit_offset(uint32_t unit)
{
    return (unit >> 10) << ((unit & 1u << 9) >> 6);
}

/* Where the replacement of the shortest key that starts `text` is, or KEEP. */
static int64_t look_up(const struct precompiled *p, const uint8_t *text, size_t size)
{
    uint32_t at = unit_offset(p->units[0]);
    for (size_t i = 0; i < size && text[i]; i++) {
        at ^= text[i];
        if (at >= p->count)
            return KEEP;
        uint32_t unit = p->units[at];
        if ((unit & (1u << 31 | 0xFF)) != text[i])
            return KEEP;
        at ^= unit_offset(unit);
        if (unit & 1u << 8)
            return at < p->count ? (int64_t)(p->units[at] & ~(1u << 31)) : KEEP;
    }
    return KEEP;
}

/* Every value that a walk can reach starts a replacement, at a character. */
static int check_values(const struct precompiled *p, struct error *e)
{
    for (size_t i = 0; i < p->count; i++) {
        uint32_t unit = p->units[i];
        if (unit >> 31 || !(unit & 1u << 8))
            continue;
        size_t leaf = i ^ unit_offset(unit);
        size_t value = leaf < p->count ? p->units[leaf] & ~(1u << 31) : SIZE_MAX;
        if (value >= p->size || ((uint8_t)p->replacements[value] & 0xC0) == 0x80)
            return error_set(e, ERROR_DATA, "the precompiled_charsmap refers to a replacement that it does not have");
    }
    return 0;
}

static bool is_plain(const struct precompiled *p, uint32_t c)
{
    uint8_t bytes[4];
    switch (p->property[c] & GRAPHEME_CLASS) {
    case GRAPHEME_OTHER:
    case GRAPHEME_LV:
    case GRAPHEME_LVT:
    case GRAPHEME_CONSONANT:
    case GRAPHEME_PICTOGRAPHIC:
        return look_up(p, bytes, utf8_encode(c, bytes)) == KEEP;
    case GRAPHEME_CONTROL:
        return c < 128 && look_up(p, bytes, utf8_encode(c, bytes)) == KEEP;
    default:
        return false;
    }
}

int precompiled_create(struct precompiled **ret, const void *map, size_t size, struct error *e)
{
    const uint8_t *bytes = map;
    uint32_t trie = 0;
    if (size >= sizeof trie)
        memcpy(&trie, bytes, sizeof trie);
    if (trie < sizeof trie || trie % sizeof trie || trie > size - sizeof trie ||
        !utf8_is_valid(bytes + sizeof trie + trie, size - sizeof trie - trie))
        return error_set(e, ERROR_DATA, "the precompiled_charsmap is cut or broken");
    struct precompiled *p = allocate(1, sizeof *p);
    p->count = trie / sizeof trie;
    p->units = allocate(p->count, sizeof *p->units);
    memcpy(p->units, bytes + sizeof trie, trie);
    p->size = size - sizeof trie - trie;
    p->replacements = allocate(p->size + 1, 1);
    memcpy(p->replacements, bytes + sizeof trie + trie, p->size);
    if (check_values(p, e)) {
        precompiled_destroy(&p);
        return -1;
    }
    for (uint32_t c = 0; c < 0x10000; c++) {
        p->property[c] = grapheme_property(c);
        p->plain[c] = is_plain(p, c);
    }
    *ret = p;
    return 0;
}

void precompiled_destroy(struct precompiled **precompiled)
{
    struct precompiled *p = *precompiled;
    if (!p)
        return;
    free(p->units);
    free(p->replacements);
    free(p);
    *precompiled = NULL;
}

static bool replace(const struct precompiled *p, const uint8_t *text, size_t size, struct buffer *to)
{
    int64_t value = look_up(p, text, size);
    if (value == KEEP)
        return false;
    buffer_text(to, p->replacements + value);
    return true;
}

static void add_cluster(const struct precompiled *p, const uint8_t *text, const uint8_t *end, struct buffer *to)
{
    uint32_t c;
    if ((size_t)(end - text) < WHOLE && replace(p, text, (size_t)(end - text), to))
        return;
    for (unsigned n; text < end; text += n) {
        n = utf8_decode(text, end, &c);
        if (!replace(p, text, n, to))
            buffer_append(to, text, n);
    }
}

static uint8_t property_of(const struct precompiled *p, uint32_t c)
{
    return c < 0x10000 ? p->property[c] : grapheme_property(c);
}

/* Text from a cluster's start up to where one plain character follows another: no cluster goes across such a place. */
static const uint8_t *add_complex(const struct precompiled *p, const uint8_t *text, const uint8_t *end, struct buffer *to)
{
    struct grapheme_state state = {0};
    const uint8_t *start = text;
    bool plain = false;
    while (text < end) {
        uint32_t c;
        unsigned n = utf8_decode(text, end, &c);
        bool was_plain = plain;
        plain = c < 0x10000 && p->plain[c];
        if (was_plain && plain)
            break;
        if (grapheme_starts(&state, property_of(p, c)) && text > start) {
            add_cluster(p, start, text, to);
            start = text;
        }
        text += n;
    }
    add_cluster(p, start, text, to);
    return text;
}

void precompiled_apply(const struct precompiled *p, const char *text, size_t size, struct buffer *to)
{
    const uint8_t *at = (const uint8_t *)text, *end = at + size;
    while (at < end) {
        const uint8_t *run = at, *last = at;
        while (at < end) {
            uint32_t c;
            unsigned n = utf8_decode(at, end, &c);
            if (c >= 0x10000 || !p->plain[c])
                break;
            last = at;
            at += n;
        }
        if (at < end)
            at = last; /* may be the start of a cluster */
        buffer_append(to, run, (size_t)(at - run));
        if (at < end)
            at = add_complex(p, at, end, to);
    }
}
