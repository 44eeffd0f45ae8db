/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of model input: two texts, truncated and put between special tokens. */
#include "common/text/pair.h"

#include <string.h>

const char *const truncation_names[] = {"only_second", "longest_first", "only_first", NULL};

/* How many tokens of each text stay. */
struct lengths {
    size_t first, second;
};

/* `tokenizers` (utils/truncation.rs): the longer gives until both are equal; then half each, the odd one to the second,
 * or to the first if that was the longer. */
static struct lengths cut_longest(struct lengths n, size_t room)
{
    bool swap = n.first > n.second;
    size_t shorter = swap ? n.second : n.first, longer = room > shorter ? room - shorter : 0;
    if (longer < shorter) {
        shorter = room / 2;
        longer = room - shorter;
    }
    return swap ? (struct lengths){longer, shorter} : (struct lengths){shorter, longer};
}

/* Only `cut` gives, and keeps a token at least; where that is not enough `tokenizers` fails, and here `cut` goes whole and
 * then `kept` gives as well. */
static void cut_only(size_t *cut, size_t *kept, size_t room)
{
    *cut = *kept < room ? room - *kept : 0;
    *kept = *kept < room ? *kept : room;
}

/* Both texts behind `before` places that are left for special tokens. */
static void encode_both(struct pair *p, const struct tokenizer *t, const char *a, size_t a_size, const char *b, size_t b_size,
                        size_t before, size_t limit, struct lengths *n)
{
    p->tokens.count = before;
    tokenizer_encode(t, a, a_size, limit, &p->tokens);
    n->first = p->tokens.count - before;
    tokenizer_encode(t, b, b_size, limit, &p->tokens);
    n->second = p->tokens.count - before - n->first;
}

static struct lengths truncate_pair(struct pair *p, struct lengths n, size_t room, enum truncation truncation)
{
    struct lengths cut = n;
    if (truncation == TRUNCATE_LONGEST_FIRST) {
        cut = cut_longest(n, room);
    } else if (truncation == TRUNCATE_ONLY_SECOND) {
        p->first_too_long = n.first >= room;
        cut_only(&cut.second, &cut.first, room);
    } else {
        cut_only(&cut.first, &cut.second, room);
    }
    return cut;
}

/* Puts the special tokens around the texts: the second, `whole` tokens behind the start of the first, moves up to it. */
static void fill_template(struct pair *p, const struct row_template *t, struct lengths n, size_t whole)
{
    token_list_reserve(&p->tokens, n.first + n.second + t->all);
    int32_t *ids = p->tokens.ids, *between = ids + t->before + n.first;
    const int32_t *specials = t->specials;
    memmove(between + t->between, ids + t->before + whole, n.second * sizeof *ids);
    memcpy(ids, specials, t->before * sizeof *ids);
    memcpy(between, specials + t->before, t->between * sizeof *ids);
    memcpy(between + t->between + n.second, specials + t->before + t->between, t->after * sizeof *ids);
    p->tokens.count = n.first + n.second + t->all;
    p->first = (uint32_t)(t->first_specials + (t->first_a ? n.first : 0) + (t->first_b ? n.second : 0));
}

void pair_encode(struct pair *p, const struct tokenizer *t, const char *a, size_t a_size, const char *b, size_t b_size,
                 uint32_t max_length, enum truncation truncation)
{
    const struct row_templates *templates = tokenizer_templates(t);
    const struct row_template *template = b ? &templates->pair : &templates->single;
    size_t specials = template->all, room = max_length > specials ? max_length - specials : 0;
    struct lengths n = {0};
    p->truncated = p->first_too_long = false;
    token_list_reserve(&p->tokens, specials + 1);
    encode_both(p, t, a, a_size, b ? b : "", b ? b_size : 0, template->before, room + 1, &n);
    /* Half of an odd room: who gets the odd token depends on which text is longer, so they must be known whole. */
    if (truncation == TRUNCATE_LONGEST_FIRST && room % 2 && n.first > room && n.second > room)
        encode_both(p, t, a, a_size, b, b_size, template->before, SIZE_MAX, &n);
    size_t whole = n.first;
    if (n.first + n.second > room) {
        if (b)
            n = truncate_pair(p, n, room, truncation);
        else
            n.first = room;
        p->truncated = true;
    }
    fill_template(p, template, n, whole);
}
