/* SPDX-License-Identifier: Apache-2.0 */
#include "common/json/json_scan.h"

#include "common/base/memory.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH = 64 };

static bool is_utf8_tail(const unsigned char *p, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if ((p[i] & 0xc0) != 0x80)
            return false;
    return true;
}

size_t scan_character(const char *text, const char *end)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t left = (size_t)(end - text);
    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xc2 && p[0] <= 0xdf && left >= 2 && is_utf8_tail(p + 1, 1))
        return 2;
    if (p[0] >= 0xe0 && p[0] <= 0xef && left >= 3 && is_utf8_tail(p + 1, 2))
        return (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ? 0 : 3;
    if (p[0] >= 0xf0 && p[0] <= 0xf4 && left >= 4 && is_utf8_tail(p + 1, 3))
        return (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f) ? 0 : 4;
    return 0;
}

/* The place is counted only now: errors are rare and rows are many. */
int scan_refuse(struct scan *s, const char *at, const char *what)
{
    size_t line = s->first_line, column = 1;
    for (const char *p = s->text; p < at; p++) {
        if (*p == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)*p & 0xc0) != 0x80) {
            column++;
        }
    }
    return error_set(s->e, ERROR_DATA, "%s:%zu:%zu: %s", s->place, line, column, what);
}

static void skip_space(struct scan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\n' || *s->at == '\r' || *s->at == '\t'))
        s->at++;
}

/* True if one of the 8 bytes is a quote, a backslash, a control character or not ASCII. */
static inline bool needs_care(uint64_t w)
{
    const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
    uint64_t quote = w ^ ones * '"', backslash = w ^ ones * '\\';
    return ((w | (w - ones * 0x20) | (quote - ones) | (backslash - ones)) & highs) != 0;
}

static int hexadecimal(const char *p, const char *end, unsigned *ret)
{
    if (end - p < 4)
        return -1;
    unsigned value = 0;
    for (int i = 0; i < 4; i++) {
        const char *digits = "0123456789abcdef", *digit = p[i] ? strchr(digits, p[i] | 0x20) : NULL;
        if (!digit || (p[i] >= 0x10 && p[i] < 0x20))
            return -1;
        value = value << 4 | (unsigned)(digit - digits);
    }
    *ret = value;
    return 0;
}

/* What cJSON cannot hold: it is handed a copy of the text with something else in the place of [s->at, end). */
static void replace(struct scan *s, const char *end, const char *with)
{
    buffer_append(&s->rewritten, s->copied, (size_t)(s->at - s->copied));
    buffer_text(&s->rewritten, with);
    s->at = s->copied = end;
}

/* A lenient scan passes over half a pair: 0 with U+FFFD in its place; else the refusal. */
static int lone_surrogate(struct scan *s)
{
    if (!s->lenient)
        return scan_refuse(s, s->at, "half of a surrogate pair; write both halves");
    s->surrogates++;
    replace(s, s->at + 6, "\\ufffd");
    return 0;
}

/* \uXXXX, or the pair of them that stands for one character. */
static int scan_unicode_escape(struct scan *s)
{
    unsigned high, low;
    if (hexadecimal(s->at + 2, s->end, &high))
        return scan_refuse(s, s->at, "\\u needs four hexadecimal digits");
    if (!high && !s->lenient)
        return scan_refuse(s, s->at, "\\u0000 is not accepted in a string");
    if (!high) {
        s->nuls++;
        replace(s, s->at + 6, "\\ufffd");
        return 0;
    }
    if (high >= 0xdc00 && high <= 0xdfff)
        return lone_surrogate(s);
    size_t size = 6;
    if (high >= 0xd800 && high <= 0xdbff) {
        const char *second = s->at + 6;
        if (s->end - second < 6 || second[0] != '\\' || second[1] != 'u' || hexadecimal(second + 2, s->end, &low) ||
            low < 0xdc00 || low > 0xdfff)
            return lone_surrogate(s);
        size = 12;
    }
    s->at += size;
    return 0;
}

static int scan_escape(struct scan *s)
{
    char c = s->end - s->at > 1 ? s->at[1] : 0;
    if (c == 'u')
        return scan_unicode_escape(s);
    if (!c || !strchr("\"\\/bfnrt", c))
        return scan_refuse(s, s->at, "unknown escape in a string; a backslash is written \\\\");
    s->at += 2;
    return 0;
}

static int scan_text(struct scan *s)
{
    const char *start = s->at++;
    while (s->at < s->end) {
        uint64_t word;
        while (s->end - s->at >= 8 && (memcpy(&word, s->at, 8), !needs_care(word)))
            s->at += 8;
        if (s->at == s->end)
            break;
        unsigned char c = (unsigned char)*s->at;
        if (c == '"') {
            s->at++;
            return 0;
        }
        if (c == '\\') {
            if (scan_escape(s))
                return -1;
            continue;
        }
        size_t size = scan_character(s->at, s->end);
        if (!size)
            return scan_refuse(s, s->at, "not valid UTF-8; convert the file to UTF-8");
        if (c < 0x20)
            return scan_refuse(s, s->at,
                               c == '\n' ? "the string is not closed on its line" : "control character in a string; escape it");
        s->at += size;
    }
    return scan_refuse(s, start, "the string that starts here is never closed");
}

static bool is_digit(const char *p, const char *end)
{
    return p < end && *p >= '0' && *p <= '9';
}

static const char *skip_digits(const char *p, const char *end)
{
    while (is_digit(p, end))
        p++;
    return p;
}

static bool is_written_as_float(const char *p, const char *end)
{
    while (p < end && *p != '.' && *p != 'e' && *p != 'E')
        p++;
    return p < end;
}

/* A number of well-formed characters up to `end`. cJSON cuts a long one: it gets the shortest that reads back the same. */
static int take_number(struct scan *s, const char *end)
{
    char short_copy[SCAN_NUMBER_SIZE + 1], shortest[32], *copy = short_copy;
    size_t size = (size_t)(end - s->at);
    if (size > SCAN_NUMBER_SIZE)
        copy = allocate(size + 1, 1);
    memcpy(copy, s->at, size);
    copy[size] = 0;
    double value = strtod(copy, NULL);
    if (copy != short_copy)
        free(copy);
    if (!isfinite(value) && !s->lenient)
        return scan_refuse(s, s->at, "the number is out of range");
    snprintf(shortest, sizeof shortest, "%.17g", value);
    if (!isfinite(value) || size > SCAN_NUMBER_SIZE)
        replace(s, end, isfinite(value) ? shortest : "null");
    if (s->as_written && value == floor(value) && is_written_as_float(s->at, end)) {
        s->floats = grow(s->floats, &s->float_capacity, s->float_count + 1, sizeof *s->floats);
        s->floats[s->float_count++] = s->numbers;
    }
    s->numbers += isfinite(value);
    s->at = end;
    return 0;
}

static int scan_number(struct scan *s)
{
    const char *p = s->at;
    if (*p == '-')
        p++;
    if (!is_digit(p, s->end))
        return scan_refuse(s, s->at, "not a value");
    if (*p == '0' && is_digit(p + 1, s->end))
        return scan_refuse(s, s->at, "a number does not start with 0");
    p = skip_digits(p, s->end);
    if (p < s->end && *p == '.') {
        if (!is_digit(++p, s->end))
            return scan_refuse(s, s->at, "a number needs digits behind its point");
        p = skip_digits(p, s->end);
    }
    if (p < s->end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < s->end && (*p == '+' || *p == '-'))
            p++;
        if (!is_digit(p, s->end))
            return scan_refuse(s, s->at, "a number needs digits in its exponent");
        p = skip_digits(p, s->end);
    }
    return take_number(s, p);
}

static bool starts_with(const struct scan *s, const char *word)
{
    size_t size = strlen(word);
    return (size_t)(s->end - s->at) >= size && !memcmp(s->at, word, size);
}

static int scan_word(struct scan *s)
{
    static const struct {
        const char *word;
        bool standard;
    } words[] = {{"true", true}, {"false", true}, {"null", true}, {"NaN", false}, {"Infinity", false}, {"-Infinity", false}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (!starts_with(s, words[i].word))
            continue;
        const char *end = s->at + strlen(words[i].word);
        if (!words[i].standard && !s->lenient)
            return scan_refuse(s, s->at, "NaN and Infinity are not JSON; use null or a number");
        if (words[i].standard) {
            s->at = end;
        } else {
            replace(s, end, "null");
            s->nans++;
        }
        return 0;
    }
    if (*s->at == '-' || is_digit(s->at, s->end))
        return scan_number(s);
    if (!scan_character(s->at, s->end))
        return scan_refuse(s, s->at, "not valid UTF-8; convert the file to UTF-8");
    return scan_refuse(s, s->at,
                       strchr(",]}:", *s->at) ? "a value is missing here" : "not a value; a string is written in quotes");
}

static int scan_value(struct scan *s, int depth);

static int scan_key(struct scan *s)
{
    skip_space(s);
    if (s->at == s->end || *s->at != '"')
        return scan_refuse(s, s->at, "a key in quotes is missing here");
    if (++s->keys == s->wanted_key)
        return 1;
    if (scan_text(s))
        return -1;
    skip_space(s);
    if (s->at == s->end || *s->at != ':')
        return scan_refuse(s, s->at, "a colon is missing behind the key");
    s->at++;
    return 0;
}

static int scan_container(struct scan *s, int depth)
{
    const char *start = s->at++;
    bool object = *start == '{';
    char close = object ? '}' : ']';
    if (depth == DEPTH)
        return scan_refuse(s, start, "nested more than 64 deep");
    skip_space(s);
    if (s->at < s->end && *s->at == close) {
        s->at++;
        return 0;
    }
    for (;;) {
        int result = object ? scan_key(s) : 0;
        if (result || (result = scan_value(s, depth + 1)))
            return result;
        skip_space(s);
        if (s->at == s->end)
            return scan_refuse(
                s, start, object ? "the object that starts here is never closed" : "the list that starts here is never closed");
        char c = *s->at++;
        if (c == close)
            return 0;
        if (c != ',')
            return scan_refuse(s, s->at - 1, object ? "a comma or } is missing here" : "a comma or ] is missing here");
    }
}

/* 0, -1 with the error set, or 1 at the wanted key. */
static int scan_value(struct scan *s, int depth)
{
    skip_space(s);
    if (s->at == s->end)
        return scan_refuse(s, s->at, "a value is missing here");
    if (*s->at == '{' || *s->at == '[')
        return scan_container(s, depth);
    return *s->at == '"' ? scan_text(s) : scan_word(s);
}

int scan_document(struct scan *s)
{
    skip_space(s);
    if (s->at == s->end)
        return scan_refuse(s, s->at, "is empty");
    int result = scan_value(s, 0);
    if (result)
        return result;
    skip_space(s);
    return s->at == s->end ? 0 : scan_refuse(s, s->at, "text after the end of the value");
}
