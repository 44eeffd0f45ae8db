/* SPDX-License-Identifier: Apache-2.0 */
#include "common/text/replace.h"

#include "common/base/memory.h"
#include "common/text/unicode_table.h"
#include "common/text/utf8.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define SET 16 /* most characters of a [set] */

/* A literal text, or a character of a set, `least` to `most` times. */
struct alternative {
    bool at_start, at_end;
    struct buffer literal; /* used where set_count is 0 and space is false */
    uint32_t set[SET];
    unsigned set_count;
    bool space; /* \s */
    size_t least, most;
};

struct replace {
    struct alternative *alternatives;
    size_t count;
    char *content;
    size_t content_size;
    bool starts[256]; /* bytes that a match may start with */
};

static bool is_one(const struct alternative *a, uint32_t c)
{
    for (unsigned i = 0; i < a->set_count; i++)
        if (a->set[i] == c)
            return true;
    return a->space && unicode_find(&unicode_space, c);
}

/* Bytes of the match at `p`, or 0. */
static size_t match(const struct alternative *a, const uint8_t *start, const uint8_t *p, const uint8_t *end)
{
    const uint8_t *q = p;
    if (a->at_start && p != start)
        return 0;
    if (!a->set_count && !a->space) {
        if ((size_t)(end - p) < a->literal.size || memcmp(p, a->literal.data, a->literal.size) != 0)
            return 0;
        q += a->literal.size;
    } else {
        size_t found = 0;
        uint32_t c;
        for (unsigned n; found < a->most && q < end && (n = utf8_decode(q, end, &c), is_one(a, c)); found++)
            q += n;
        if (found < a->least)
            return 0;
    }
    return a->at_end && q != end ? 0 : (size_t)(q - p);
}

void replace_apply(const struct replace *r, const char *text, size_t size, struct buffer *to)
{
    const uint8_t *start = (const uint8_t *)text, *end = start + size, *p = start, *done = start;
    while (p < end) {
        size_t found = 0;
        if (!r->starts[*p]) {
            p++;
            continue;
        }
        for (size_t i = 0; i < r->count && !found; i++)
            found = match(&r->alternatives[i], start, p, end);
        if (!found) {
            p++;
            continue;
        }
        buffer_append(to, done, (size_t)(p - done));
        buffer_append(to, r->content, r->content_size);
        done = p += found;
    }
    buffer_append(to, done, (size_t)(end - done));
}

/* Reading an expression. *at moves over what is read; false: not supported. */

static bool read_character(const char **at, uint32_t *c)
{
    static const char special[] = ".^$*+?()[]{}|";
    const uint8_t *p = (const uint8_t *)*at;
    if (*p == '\\') {
        static const char names[] = "nrtfv", values[] = "\n\r\t\f\v";
        const char *name = p[1] ? strchr(names, p[1]) : NULL;
        if (!name && !(p[1] && (strchr(special, p[1]) || strchr("\\/-", p[1]))))
            return false;
        *c = name ? (uint32_t)values[name - names] : p[1];
        *at += 2;
        return true;
    }
    if (!*p || strchr(special, *p))
        return false;
    *at += utf8_decode(p, p + strlen(*at), c);
    return true;
}

static bool read_set(struct alternative *a, const char **at)
{
    for (++*at; **at != ']';) {
        if (!strncmp(*at, "\\s", 2)) {
            a->space = true;
            *at += 2;
            continue;
        }
        if (**at == '-' || a->set_count == SET || !read_character(at, &a->set[a->set_count]))
            return false;
        a->set_count++;
    }
    ++*at;
    return a->set_count || a->space;
}

static bool read_count(const char **at, size_t *count)
{
    size_t digits = strspn(*at, "0123456789");
    if (!digits || digits > 4)
        return false;
    *count = strtoul(*at, NULL, 10);
    *at += digits;
    return true;
}

/* {2}, {2,}, {2,5}, + or nothing. */
static bool read_quantifier(struct alternative *a, const char **at)
{
    a->least = a->most = 1;
    if (**at == '+') {
        ++*at;
        a->most = SIZE_MAX;
    } else if (**at == '{') {
        ++*at;
        if (!read_count(at, &a->least))
            return false;
        a->most = a->least;
        if (**at == ',') {
            ++*at;
            if (**at == '}')
                a->most = SIZE_MAX;
            else if (!read_count(at, &a->most))
                return false;
        }
        if (**at != '}' || !a->least || a->most < a->least)
            return false;
        ++*at;
    }
    return !**at || !strchr("+?*{", **at); /* possessive, lazy */
}

static bool ends_alternative(const char *at)
{
    return !*at || *at == '|' || !strncmp(at, "\\z", 2);
}

/* One character with a quantifier, else a literal text. */
static bool read_body(struct alternative *a, const char **at)
{
    bool set = **at == '[';
    if (set || !strncmp(*at, "\\s", 2)) {
        if (set && !read_set(a, at))
            return false;
        a->space |= !set;
        *at += set ? 0 : 2;
        return read_quantifier(a, at) && ends_alternative(*at);
    }
    const char *start = *at;
    uint32_t c;
    while (!ends_alternative(*at)) {
        const char *before = *at;
        if (!read_character(at, &c))
            return false;
        if (**at == '+' || **at == '{') {
            a->set[a->set_count++] = c;
            return before == start && read_quantifier(a, at) && ends_alternative(*at);
        }
        uint8_t bytes[4];
        buffer_append(&a->literal, bytes, utf8_encode(c, bytes));
    }
    return a->literal.size;
}

static bool read_alternative(struct alternative *a, const char **at)
{
    a->at_start = !strncmp(*at, "\\A", 2);
    *at += a->at_start ? 2 : 0;
    if (!read_body(a, at))
        return false;
    a->at_end = !strncmp(*at, "\\z", 2);
    *at += a->at_end ? 2 : 0;
    return !**at || **at == '|';
}

static struct alternative *add_alternative(struct replace *r)
{
    r->alternatives = reallocate(r->alternatives, r->count + 1, sizeof *r->alternatives);
    r->alternatives[r->count] = (struct alternative){0};
    return &r->alternatives[r->count++];
}

static bool read_expression(struct replace *r, const char *pattern)
{
    for (const char *at = pattern;; at++) {
        if (!read_alternative(add_alternative(r), &at))
            return false;
        if (!*at)
            return true;
    }
}

static void set_starts(struct replace *r)
{
    for (size_t i = 0; i < r->count; i++) {
        const struct alternative *a = &r->alternatives[i];
        for (unsigned k = 0; k < a->set_count; k++) {
            uint8_t bytes[4];
            utf8_encode(a->set[k], bytes);
            r->starts[bytes[0]] = true;
        }
        if (a->literal.size && !a->set_count)
            r->starts[(uint8_t)a->literal.data[0]] = true;
        for (size_t k = 0; a->space && k < unicode_space.count; k++)
            for (uint32_t c = unicode_space.ranges[k].first; c <= unicode_space.ranges[k].last; c++) {
                uint8_t bytes[4];
                utf8_encode(c, bytes);
                r->starts[bytes[0]] = true;
            }
    }
}

int replace_create(struct replace **ret, const char *pattern, bool regular_expression, const char *content, struct error *e)
{
    struct replace *r = allocate(1, sizeof *r);
    r->content = duplicate(content);
    r->content_size = strlen(content);
    if (regular_expression ? !read_expression(r, pattern) : !*pattern) {
        replace_destroy(&r);
        return error_set(e, ERROR_USAGE, "its normalizer Replace has the pattern \"%.200s\", which is not supported", pattern);
    }
    if (!regular_expression)
        buffer_text(&add_alternative(r)->literal, pattern);
    set_starts(r);
    *ret = r;
    return 0;
}

void replace_destroy(struct replace **replace)
{
    struct replace *r = *replace;
    if (!r)
        return;
    for (size_t i = 0; i < r->count; i++)
        buffer_free(&r->alternatives[i].literal);
    free(r->alternatives);
    free(r->content);
    free(r);
    *replace = NULL;
}
