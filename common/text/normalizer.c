/* SPDX-License-Identifier: Apache-2.0 */
#include "common/text/normalizer.h"

#include "common/base/memory.h"
#include "common/text/unicode_table.h"
#include "common/text/utf8.h"

#include <string.h>
#include <utf8proc.h>

const struct unicode_range *unicode_find(const struct unicode_table *t, uint32_t c)
{
    size_t low = 0, high = t->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (t->ranges[middle].last < c)
            low = middle + 1;
        else
            high = middle;
    }
    return low < t->count && t->ranges[low].first <= c ? &t->ranges[low] : NULL;
}

enum character_kind normalizer_kind(uint32_t c)
{
    if (unicode_find(&unicode_space, c))
        return CHARACTER_SPACE;
    return unicode_find(&unicode_punctuation, c) ? CHARACTER_SINGLE : CHARACTER_WORD;
}

unsigned character_lower(uint32_t c, uint32_t *ret)
{
    if (c == 0x130) {
        ret[0] = 'i';
        ret[1] = 0x307;
        return 2;
    }
    const struct unicode_range *r = unicode_find(&unicode_lower, c);
    ret[0] = r ? (uint32_t)((int32_t)c + r->shift) : (uint32_t)utf8proc_tolower((utf8proc_int32_t)c);
    return 1;
}

static unsigned put(const struct normalizer *n, uint32_t c, uint32_t *ret)
{
    if (n->settings.lower)
        return character_lower(c, ret);
    ret[0] = c;
    return 1;
}

unsigned normalizer_flush(const struct normalizer *n, struct normalizer_run *run, uint32_t *ret)
{
    unsigned count = 0;
    for (unsigned i = 0; i < run->count; i++)
        count += put(n, run->c[i], ret + count);
    run->count = 0;
    return count;
}

uint8_t character_combining_class(uint32_t c)
{
    if (unicode_find(&unicode_unordered, c))
        return 0;
    return (uint8_t)utf8proc_get_property((utf8proc_int32_t)c)->combining_class;
}

/* Keeps the run sorted by combining class, equal ones in the order of the text. */
static void insert(struct normalizer_run *run, uint32_t c, uint8_t class)
{
    unsigned i = run->count++;
    for (; i && run->class[i - 1] > class; i--) {
        run->c[i] = run->c[i - 1];
        run->class[i] = run->class[i - 1];
    }
    run->c[i] = c;
    run->class[i] = class;
}

static unsigned strip(const struct normalizer *n, uint32_t c, struct normalizer_run *run, uint32_t *ret)
{
    utf8proc_int32_t part[8];
    int boundary = 0;
    utf8proc_ssize_t parts = 1;
    part[0] = (utf8proc_int32_t)c;
    if (!unicode_find(&unicode_undivided, c))
        parts = utf8proc_decompose_char((utf8proc_int32_t)c, part, 8, UTF8PROC_DECOMPOSE, &boundary);
    unsigned count = 0;
    for (utf8proc_ssize_t i = 0; i < parts; i++) {
        uint32_t p = (uint32_t)part[i];
        bool mark = unicode_find(&unicode_mark, p);
        uint8_t class = character_combining_class(p);
        if (!class || run->count == NORMALIZER_RUN)
            count += normalizer_flush(n, run, ret + count);
        if (!mark && class)
            insert(run, p, class);
        else if (!mark)
            count += put(n, p, ret + count);
    }
    return count;
}

unsigned normalizer_expand(const struct normalizer *n, uint32_t c, struct normalizer_run *run, uint32_t *ret)
{
    if (n->settings.clean) {
        if (unicode_find(&unicode_control, c))
            return 0;
        if (unicode_find(&unicode_space, c))
            c = ' ';
    }
    bool alone = n->settings.chinese && unicode_find(&unicode_chinese, c);
    unsigned count = 0;
    if (alone) {
        count = normalizer_flush(n, run, ret);
        ret[count++] = ' ';
    }
    count += n->settings.strip ? strip(n, c, run, ret + count) : put(n, c, ret + count);
    if (alone)
        ret[count++] = ' ';
    return count;
}

static void set_simple(struct character *to, enum character_kind kind, const uint32_t *c, unsigned count)
{
    uint8_t bytes[16];
    unsigned size = 0;
    for (unsigned i = 0; i < count; i++)
        size += utf8_encode(c[i], bytes + size);
    if (size > sizeof to->bytes)
        return;
    to->kind = (uint8_t)kind;
    to->chars = (uint8_t)count;
    to->size = (uint8_t)size;
    memcpy(to->bytes, bytes, size);
}

/* COMPLEX unless c acts the same among all neighbours and becomes one kind. */
static struct character describe(const struct normalizer *n, uint32_t c)
{
    struct character r = {.kind = CHARACTER_COMPLEX};
    uint32_t out[NORMALIZER_EXPANSION];
    struct normalizer_run run = {0};
    unsigned count = normalizer_expand(n, c, &run, out);
    if (run.count || count > 4)
        return r;
    if (!count) {
        bool splits_a_run =
            n->settings.strip && !(n->settings.clean && unicode_find(&unicode_control, c)) && !character_combining_class(c);
        if (!splits_a_run)
            r.kind = CHARACTER_NOTHING;
        return r;
    }
    if (count == 3 && out[0] == ' ' && out[2] == ' ' && normalizer_kind(out[1]) != CHARACTER_SPACE) {
        set_simple(&r, CHARACTER_SINGLE, out + 1, 1);
        return r;
    }
    enum character_kind kind = normalizer_kind(out[0]);
    for (unsigned i = 1; i < count; i++)
        if (kind != CHARACTER_WORD || normalizer_kind(out[i]) != kind)
            return r;
    set_simple(&r, kind, out, count);
    return r;
}

struct normalizer *normalizer_create(struct normalizer_settings settings)
{
    struct normalizer *n = allocate(1, sizeof *n);
    n->settings = settings;
    for (uint32_t c = 0; c < 0x10000; c++)
        n->plane[c] = describe(n, c);
    for (unsigned c = 0; c < 256; c++) {
        const struct character *r = &n->plane[c];
        n->ascii_kind[c] = c < 0x80 && r->kind <= CHARACTER_SINGLE ? r->kind : CHARACTER_COMPLEX;
        n->ascii_word[c] = n->ascii_kind[c] == CHARACTER_WORD ? r->bytes[0] : 0;
    }
    return n;
}

static void append(struct buffer *to, const uint32_t *c, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        uint8_t bytes[4];
        buffer_append(to, bytes, utf8_encode(c[i], bytes));
    }
}

void normalizer_text(const struct normalizer *n, const char *text, size_t size, struct buffer *to)
{
    const uint8_t *p = (const uint8_t *)text, *end = p + size;
    struct normalizer_run run = {0};
    uint32_t out[NORMALIZER_EXPANSION];
    while (p < end) {
        uint32_t c;
        p += utf8_decode(p, end, &c);
        append(to, out, normalizer_expand(n, c, &run, out));
    }
    append(to, out, normalizer_flush(n, &run, out));
}

bool character_is_word(uint32_t c)
{
    static const bool word[UTF8PROC_CATEGORY_CO + 1] = {
        [UTF8PROC_CATEGORY_LU] = true, [UTF8PROC_CATEGORY_LL] = true, [UTF8PROC_CATEGORY_LT] = true,
        [UTF8PROC_CATEGORY_LM] = true, [UTF8PROC_CATEGORY_LO] = true, [UTF8PROC_CATEGORY_MN] = true,
        [UTF8PROC_CATEGORY_MC] = true, [UTF8PROC_CATEGORY_ME] = true, [UTF8PROC_CATEGORY_ND] = true,
        [UTF8PROC_CATEGORY_NL] = true, [UTF8PROC_CATEGORY_PC] = true};
    static const struct unicode_range other[] = {/* Join_Control, and the letters among the symbols (Other_Alphabetic) */
                                                 {0x200C, 0x200D},
                                                 {0x24B6, 0x24E9},
                                                 {0x1F130, 0x1F149},
                                                 {0x1F150, 0x1F169},
                                                 {0x1F170, 0x1F189}};
    static const struct unicode_table others = {other, sizeof other / sizeof *other};
    return word[utf8proc_category((utf8proc_int32_t)c)] || unicode_find(&others, c);
}
