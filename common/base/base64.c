/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/base64.h"

#include "common/base/memory.h"

#include <stdlib.h>
#include <string.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int digit_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool base64_decode(const char *text, uint8_t **bytes, size_t *size)
{
    size_t count = strlen(text), padding = 0, used = 0;
    uint32_t bits = 0;
    while (padding < 2 && padding < count && text[count - padding - 1] == '=')
        padding++;
    if (count % 4)
        return false;
    uint8_t *to = allocate(count / 4 * 3 + 1, 1);
    for (size_t i = 0; i < count - padding; i++) {
        int value = digit_value(text[i]);
        if (value < 0) {
            free(to);
            return false;
        }
        bits = bits << 6 | (uint32_t)value;
        if (i % 4) /* the 2nd, 3rd and 4th digit each complete a byte */
            to[used++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
    }
    *bytes = to;
    *size = used;
    return true;
}

char *base64_encode(const void *bytes, size_t size)
{
    const uint8_t *from = bytes;
    char *text = allocate((size + 2) / 3 * 4 + 1, 1), *to = text;
    for (size_t i = 0; i < size; i += 3, to += 4) {
        uint32_t left = (uint32_t)(size - i < 3 ? size - i : 3), bits = 0;
        for (uint32_t k = 0; k < 3; k++)
            bits = bits << 8 | (k < left ? from[i + k] : 0);
        for (uint32_t k = 0; k < 4; k++)
            to[k] = k <= left ? digits[bits >> (18 - 6 * k) & 63] : '=';
    }
    return text;
}
