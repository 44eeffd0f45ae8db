/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8, one character at a time. Bytes that are not UTF-8 count as U+FFFD, one for each maximal subpart of a sequence, as
 * Unicode recommends and Python's errors="replace" does. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buffer;

#define UTF8_REPLACEMENT 0xFFFDu

/* The character at `p` (p < end) into *c; returns the bytes it takes. */
static inline unsigned utf8_decode(const uint8_t *p, const uint8_t *end, uint32_t *c)
{
    uint8_t lead = p[0];
    unsigned more;
    uint8_t low = 0x80, high = 0xBF; /* of the second byte: no overlong forms, no surrogates, nothing above U+10FFFF */
    uint32_t value;
    if (lead < 0x80) {
        *c = lead;
        return 1;
    }
    if (lead >= 0xC2 && lead <= 0xDF) {
        more = 1;
        value = lead & 0x1F;
    } else if (lead >= 0xE0 && lead <= 0xEF) {
        more = 2;
        value = lead & 0x0F;
        low = lead == 0xE0 ? 0xA0 : 0x80;
        high = lead == 0xED ? 0x9F : 0xBF;
    } else if (lead >= 0xF0 && lead <= 0xF4) {
        more = 3;
        value = lead & 0x07;
        low = lead == 0xF0 ? 0x90 : 0x80;
        high = lead == 0xF4 ? 0x8F : 0xBF;
    } else {
        *c = UTF8_REPLACEMENT;
        return 1;
    }
    for (unsigned i = 1; i <= more; i++) {
        if (p + i == end || p[i] < low || p[i] > high) {
            *c = UTF8_REPLACEMENT;
            return i;
        }
        value = value << 6 | (p[i] & 0x3F);
        low = 0x80;
        high = 0xBF;
    }
    *c = value;
    return more + 1;
}

/* At most 4 bytes; returns how many. */
static inline unsigned utf8_encode(uint32_t c, uint8_t *to)
{
    if (c < 0x80) {
        to[0] = (uint8_t)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (uint8_t)(0xC0 | c >> 6);
        to[1] = (uint8_t)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        to[0] = (uint8_t)(0xE0 | c >> 12);
        to[1] = (uint8_t)(0x80 | (c >> 6 & 0x3F));
        to[2] = (uint8_t)(0x80 | (c & 0x3F));
        return 3;
    }
    to[0] = (uint8_t)(0xF0 | c >> 18);
    to[1] = (uint8_t)(0x80 | (c >> 12 & 0x3F));
    to[2] = (uint8_t)(0x80 | (c >> 6 & 0x3F));
    to[3] = (uint8_t)(0x80 | (c & 0x3F));
    return 4;
}

/* Whether the text is UTF-8, which a zero byte is, too. */
bool utf8_is_valid(const void *text, size_t size);
/* Whether the text is not UTF-8; then it is appended to *to with U+FFFD where it is not. */
bool utf8_repair(const char *text, size_t size, struct buffer *to);
