/* SPDX-License-Identifier: Apache-2.0 */
#include "common/text/split.h"

#include <string.h>

/* Contiguous parts of the piece come in, matches and what is between them; joined as the behaviour says they go out. */
struct splitter {
    struct piece piece;
    struct piece_sink *to;
    enum split_behavior behavior;
    bool invert;
    bool pending, match; /* there is a part that may still grow, and it ends with a match */
    size_t start, stop;  /* of that part */
};

static void put(struct splitter *s, size_t start, size_t stop)
{
    piece_put(s->to, s->piece.text + start, stop - start, s->piece.first && !start);
}

static bool joins(const struct splitter *s, bool match)
{
    switch (s->behavior) {
    case SPLIT_MERGED_WITH_PREVIOUS:
        return match && !s->match;
    case SPLIT_MERGED_WITH_NEXT:
        return s->match && !match;
    case SPLIT_CONTIGUOUS:
        return match == s->match;
    default:
        return false;
    }
}

static void take(struct splitter *s, size_t start, size_t stop, bool match)
{
    match = match != s->invert;
    if (s->behavior == SPLIT_REMOVED || s->behavior == SPLIT_ISOLATED) {
        if (!match || s->behavior == SPLIT_ISOLATED)
            put(s, start, stop);
        return;
    }
    if (!s->pending || !joins(s, match)) {
        if (s->pending)
            put(s, s->start, s->stop);
        s->start = start;
    }
    s->pending = true;
    s->match = match;
    s->stop = stop;
}

void split_piece(struct piece p, find_match *find, const void *pattern, enum split_behavior behavior, bool invert,
                 struct piece_sink *to)
{
    struct splitter s = {.piece = p, .to = to, .behavior = behavior, .invert = invert};
    struct match m;
    size_t done = 0;
    while (done < p.size && !*to->full && find(pattern, p.text, p.size, done, &m)) {
        if (m.start > done)
            take(&s, done, m.start, false);
        take(&s, m.start, m.stop, true);
        done = m.stop;
    }
    if (done < p.size)
        take(&s, done, p.size, false);
    if (s.pending)
        put(&s, s.start, s.stop);
}

int split_behavior_read(enum split_behavior *ret, const char *name, const char *path, struct error *e)
{
    static const char *const names[] = {"Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (name && !strcmp(name, names[i])) {
            *ret = (enum split_behavior)i;
            return 0;
        }
    return error_set(e, ERROR_DATA, "%s: its pre_tokenizer has the behavior \"%.60s\", which `tokenizers` does not know", path,
                     name ? name : "(none)");
}
