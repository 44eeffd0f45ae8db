/* SPDX-License-Identifier: Apache-2.0 */
#include "common/text/utf8.h"

#include "common/base/buffer.h"

#include <string.h>

/* Where the text stops being UTF-8; `end` if nowhere. */
static const uint8_t *find_invalid(const uint8_t *p, const uint8_t *end)
{
    while (p < end) {
        uint64_t eight;
        uint32_t c;
        while (end - p >= 8 && (memcpy(&eight, p, 8), !(eight & 0x8080808080808080u)))
            p += 8;
        if (p == end)
            break;
        unsigned n = utf8_decode(p, end, &c);
        if (c == UTF8_REPLACEMENT && (n != 3 || p[0] != 0xEF))
            return p;
        p += n;
    }
    return end;
}

bool utf8_is_valid(const void *text, size_t size)
{
    const uint8_t *p = text, *end = p + size;
    return find_invalid(p, end) == end;
}

bool utf8_repair(const char *text, size_t size, struct buffer *to)
{
    const uint8_t *p = (const uint8_t *)text, *end = p + size, *invalid = find_invalid(p, end);
    if (invalid == end)
        return false;
    for (; p < end; invalid = find_invalid(p, end)) {
        buffer_append(to, p, (size_t)(invalid - p));
        if (invalid == end)
            break;
        uint32_t c;
        uint8_t bytes[4];
        p = invalid + utf8_decode(invalid, end, &c);
        buffer_append(to, bytes, utf8_encode(c, bytes));
    }
    return true;
}
