/* SPDX-License-Identifier: Apache-2.0 */
#include "common/text/normal_form.h"

#include "common/base/memory.h"
#include "common/text/normalizer.h"
#include "common/text/utf8.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#define PARTS 32 /* most that a character is decomposed into: 18, U+FDFA */

/* Code points with their combining classes. */
struct characters {
    utf8proc_int32_t *c;
    uint8_t *class;
    size_t count, c_capacity, class_capacity;
};

static void append_character(struct buffer *to, uint32_t c)
{
    uint8_t bytes[4];
    buffer_append(to, bytes, utf8_encode(c, bytes));
}

static void add(struct characters *l, utf8proc_int32_t c)
{
    l->c = grow(l->c, &l->c_capacity, l->count + 1, sizeof *l->c);
    l->class = grow(l->class, &l->class_capacity, l->count + 1, sizeof *l->class);
    l->c[l->count] = c;
    l->class[l->count++] = character_combining_class((uint32_t)c);
}

static void decompose(struct characters *l, uint32_t c, bool compatible)
{
    utf8proc_int32_t parts[PARTS];
    int boundary = 0;
    int options = UTF8PROC_DECOMPOSE;
    if (unicode_find(&unicode_undivided, c)) {
        add(l, (utf8proc_int32_t)c);
        return;
    }
    if (compatible && !unicode_find(&normal_form_undivided, c))
        options |= UTF8PROC_COMPAT;
    utf8proc_ssize_t count = utf8proc_decompose_char((utf8proc_int32_t)c, parts, PARTS, (utf8proc_option_t)options, &boundary);
    for (utf8proc_ssize_t i = 0; i < count; i++)
        add(l, parts[i]);
}

/* Characters [start, stop), none of class 0, by class; those of one class keep their order. */
static void sort_marks(struct characters *l, size_t start, size_t stop)
{
    size_t place[256] = {0}, count = stop - start, total = 0;
    utf8proc_int32_t *c = allocate(count, sizeof *c);
    uint8_t *class = allocate(count, 1);
    for (size_t i = start; i < stop; i++)
        place[l->class[i]]++;
    for (size_t k = 0; k < 256; k++) {
        size_t here = place[k];
        place[k] = total;
        total += here;
    }
    for (size_t i = start; i < stop; i++) {
        size_t to = place[l->class[i]]++;
        c[to] = l->c[i];
        class[to] = l->class[i];
    }
    memcpy(l->c + start, c, count * sizeof *c);
    memcpy(l->class + start, class, count);
    free(c);
    free(class);
}

static void put_in_order(struct characters *l)
{
    for (size_t i = 0, start; i < l->count; i++) {
        bool sorted = true;
        for (start = i; i < l->count && l->class[i]; i++)
            sorted &= i == start || l->class[i - 1] <= l->class[i];
        if (!sorted)
            sort_marks(l, start, i);
    }
}

/* Nothing composes across these to `tokenizers`; utf8proc knows newer classes and compositions. */
static bool separates(utf8proc_int32_t c)
{
    return unicode_find(&unicode_unordered, (uint32_t)c) || c == 0x11930; /* second of U+11938 */
}

static void append_composed(struct characters *l, struct buffer *to)
{
    for (size_t start = 0, stop; start < l->count; start = stop) {
        stop = start + 1;
        while (stop < l->count && !separates(l->c[stop]))
            stop++;
        utf8proc_ssize_t count = utf8proc_normalize_utf32(l->c + start, (utf8proc_ssize_t)(stop - start),
                                                          (utf8proc_option_t)(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
        for (utf8proc_ssize_t i = 0; i < count; i++)
            append_character(to, (uint32_t)l->c[start + (size_t)i]);
    }
}

static bool ends_run(const uint8_t *p, const uint8_t *end) /* ASCII is left alone where more ASCII follows */
{
    return *p < 128 && (p + 1 == end || p[1] < 128);
}

void normal_form_apply(enum normal_form form, const char *text, size_t size, struct buffer *to)
{
    const uint8_t *p = (const uint8_t *)text, *end = p + size;
    struct characters l = {0};
    while (p < end) {
        const uint8_t *run = p;
        while (p < end && ends_run(p, end))
            p++;
        buffer_append(to, run, (size_t)(p - run));
        l.count = 0;
        while (p < end && !ends_run(p, end)) {
            uint32_t c;
            p += utf8_decode(p, end, &c);
            decompose(&l, c, form == NORMAL_NFKC || form == NORMAL_NFKD);
        }
        put_in_order(&l);
        if (form == NORMAL_NFC || form == NORMAL_NFKC)
            append_composed(&l, to);
        else
            for (size_t i = 0; i < l.count; i++)
                append_character(to, (uint32_t)l.c[i]);
    }
    free(l.c);
    free(l.class);
}

void text_lower(const char *text, size_t size, struct buffer *to)
{
    const uint8_t *p = (const uint8_t *)text, *end = p + size;
    while (p < end) {
        uint32_t c, lower[2];
        p += utf8_decode(p, end, &c);
        unsigned count = character_lower(c, lower);
        for (unsigned i = 0; i < count; i++)
            append_character(to, lower[i]);
    }
}

void text_strip(bool left, bool right, const char *text, size_t size, struct buffer *to)
{
    const uint8_t *p = (const uint8_t *)text, *end = p + size;
    uint32_t c;
    for (unsigned n; left && p < end && (n = utf8_decode(p, end, &c), unicode_find(&unicode_space, c));)
        p += n;
    const uint8_t *stop = right ? p : end;
    for (const uint8_t *q = p; right && q < end;) {
        q += utf8_decode(q, end, &c);
        if (!unicode_find(&unicode_space, c))
            stop = q;
    }
    buffer_append(to, p, (size_t)(stop - p));
}

void text_strip_accents(const char *text, size_t size, struct buffer *to)
{
    const uint8_t *p = (const uint8_t *)text, *end = p + size;
    while (p < end) {
        uint32_t c;
        unsigned n = utf8_decode(p, end, &c);
        if (c < 0x300 || !unicode_find(&normal_form_mark, c))
            buffer_append(to, p, n);
        p += n;
    }
}

static bool nmt_removes(uint32_t c)
{
    return (c >= 1 && c <= 8) || c == 0xB || (c >= 0xE && c <= 0x1F) || c == 0x7F || c == 0x8F || c == 0x9F;
}

static bool nmt_is_space(uint32_t c)
{
    return c == '\t' || c == '\n' || c == '\f' || c == '\r' || c == 0x1680 || (c >= 0x200B && c <= 0x200F) || c == 0x2028 ||
           c == 0x2029 || c == 0x2581 || c == 0xFEFF || c == 0xFFFD;
}

void text_nmt(const char *text, size_t size, struct buffer *to)
{
    const uint8_t *p = (const uint8_t *)text, *end = p + size;
    while (p < end) {
        uint32_t c;
        unsigned n = utf8_decode(p, end, &c);
        if (nmt_is_space(c))
            buffer_append(to, " ", 1);
        else if (!nmt_removes(c))
            buffer_append(to, p, n);
        p += n;
    }
}
