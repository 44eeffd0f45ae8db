/* SPDX-License-Identifier: Apache-2.0 */
#include "common/text/compose.h"

#include "common/text/utf8.h"

#include <string.h>

/* str.isspace of Python, which str.split cuts at. */
static bool is_space(uint32_t c)
{
    return c == ' ' || (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x1F) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
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
    while (p < end && (n = utf8_decode(p, end, &c), !is_space(c)))
        p += n;
    *stop = p;
    return start;
}

bool text_is_blank(const char *text)
{
    const uint8_t *p = (const uint8_t *)text, *stop;
    return !text || !next_word(p, p + strlen(text), &stop);
}

void compose_text(struct buffer *to, const char *const *fields, size_t count, const uint32_t *words, const char *joiner)
{
    bool joined = false;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *p = (const uint8_t *)fields[i], *end = p ? p + strlen(fields[i]) : NULL, *word;
        const char *before = joined ? joiner : "";
        for (uint32_t n = 0; p && !(words && words[i] && n == words[i]) && (word = next_word(p, end, &p)); n++) {
            buffer_text(to, before);
            buffer_append(to, word, (size_t)(p - word));
            before = " ";
            joined = true;
        }
    }
    buffer_text(to, ""); /* a NUL even if there was nothing */
}
