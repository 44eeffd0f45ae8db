/* SPDX-License-Identifier: Apache-2.0 */
#include "common/text/words.h"

#include "common/text/utf8.h"

#include <string.h>
#include <utf8proc.h>

#define SIGMA 0x3A3u
#define FINAL_SIGMA 0x3C2u
#define DOTTED_I 0x130u /* the one character whose lower case is two: i and U+0307, which ends a word */

static bool is_word(uint32_t c)
{
    if (c < 0x80)
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)c);
    return (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO) ||
           (category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO);
}

/* Unicode's Case_Ignorable. */
static bool is_ignorable(uint32_t c)
{
    static const uint32_t inside_words[] = {'\'',   '.',    ':',    0xB7,   0x387,  0x55F,  0x5F4,  0x2018, 0x2019,
                                            0x2024, 0x2027, 0xFE13, 0xFE52, 0xFE55, 0xFF07, 0xFF0E, 0xFF1A, 0};
    for (const uint32_t *one = inside_words; *one; one++)
        if (c == *one)
            return true;
    switch (utf8proc_category((utf8proc_int32_t)c)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK:
        return true;
    default:
        return false;
    }
}

static bool is_cased(uint32_t c)
{
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)c);
    return (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LT) || utf8proc_isupper((utf8proc_int32_t)c) ||
           utf8proc_islower((utf8proc_int32_t)c);
}

static const uint8_t *previous(const uint8_t *start, const uint8_t *at)
{
    do
        at--;
    while (at > start && (*at & 0xC0) == 0x80);
    return at;
}

/* Whether the sigma at `at` (of two bytes) ends a word: something cased before it, nothing cased behind it. */
static bool ends_word(const struct words *w, const uint8_t *at)
{
    uint32_t c = '.';
    for (const uint8_t *before = at; before > w->start && is_ignorable(c);) {
        before = previous(w->start, before);
        utf8_decode(before, w->end, &c);
    }
    if (is_ignorable(c) || !is_cased(c))
        return false;
    c = '.';
    for (const uint8_t *behind = at + 2; behind < w->end && is_ignorable(c);)
        behind += utf8_decode(behind, w->end, &c);
    return is_ignorable(c) || !is_cased(c);
}

static uint32_t lower(const struct words *w, const uint8_t *at, uint32_t c)
{
    if (c < 0x80)
        return c >= 'A' && c <= 'Z' ? c + 32 : c;
    if (c == SIGMA)
        return ends_word(w, at) ? FINAL_SIGMA : 0x3C3u;
    return c == DOTTED_I ? 'i' : (uint32_t)utf8proc_tolower((utf8proc_int32_t)c);
}

void words_start(struct words *w, const char *text)
{
    w->start = w->at = (const uint8_t *)text;
    w->end = w->start + strlen(text);
}

bool words_next(struct words *w)
{
    unsigned length = 0;
    buffer_clear(&w->word);
    while (w->at < w->end) {
        uint32_t c;
        uint8_t bytes[4];
        const uint8_t *at = w->at;
        w->at += utf8_decode(at, w->end, &c);
        bool inside = is_word(c);
        if (inside) {
            buffer_append(&w->word, bytes, utf8_encode(lower(w, at, c), bytes));
            length++;
        }
        if (inside && c != DOTTED_I)
            continue;
        if (length >= 2)
            return true;
        length = 0;
        buffer_clear(&w->word);
    }
    return length >= 2;
}

void words_free(struct words *w)
{
    buffer_free(&w->word);
    *w = (struct words){0};
}
