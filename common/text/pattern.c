/* SPDX-License-Identifier: Apache-2.0 */
#include "common/text/pattern.h"

#include "common/base/memory.h"
#include "common/text/character_class.h"
#include "common/text/utf8.h"

#include <stdlib.h>
#include <string.h>

#define NO_LIMIT UINT32_MAX
#define MAX_DEPTH 16

/* Characters: those of the ranges, the categories and the classes; `negated`: all others. */
struct range {
    uint32_t first, last;
};

enum { SET_SPACE = 1, SET_NOT_SPACE = 2, SET_WORD = 4, SET_NOT_WORD = 8 };

struct set {
    struct range *ranges;
    size_t range_count;
    uint32_t categories; /* a bit each */
    unsigned classes;
    bool negated;
    bool ascii[128]; /* the answer for these */
};

enum item_kind { ITEM_SET, ITEM_GROUP, ITEM_AHEAD, ITEM_NOT_AHEAD };

struct item {
    enum item_kind kind;
    uint32_t least, most;
    bool possessive;
    struct set set;
    struct group *group;
};

struct sequence {
    struct item *items;
    size_t count;
};

struct group {
    struct sequence *alternatives;
    size_t count;
};

struct pattern {
    struct group *group;
    const uint8_t *classes;
};

/* Memory. */

static void group_destroy(struct group *g)
{
    for (size_t i = 0; g && i < g->count; i++) {
        for (size_t k = 0; k < g->alternatives[i].count; k++) {
            free(g->alternatives[i].items[k].set.ranges);
            group_destroy(g->alternatives[i].items[k].group);
        }
        free(g->alternatives[i].items);
    }
    if (g)
        free(g->alternatives);
    free(g);
}

void pattern_destroy(void *pattern)
{
    struct pattern *p = pattern;
    if (!p)
        return;
    group_destroy(p->group);
    free(p);
}

/* Sets. */

static void add_range(struct set *s, uint32_t first, uint32_t last)
{
    s->ranges = reallocate(s->ranges, s->range_count + 1, sizeof *s->ranges);
    s->ranges[s->range_count++] = (struct range){first, last};
}

/* Oniguruma's \w: letters, marks, digits and connectors, and these. */
static bool is_word(uint32_t c, unsigned category)
{
    static const struct range others[] = {{0xB2, 0xB3},       {0xB9, 0xB9},       {0xBC, 0xBE},      {0x24B6, 0x24E9},
                                          {0x1F130, 0x1F149}, {0x1F150, 0x1F169}, {0x1F170, 0x1F189}};
    if ((category >= CATEGORY_LU && category <= CATEGORY_NL) || category == CATEGORY_PC)
        return true;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (c >= others[i].first && c <= others[i].last)
            return true;
    return false;
}

static bool set_has(const struct set *s, const uint8_t *classes, uint32_t c)
{
    unsigned category = classes[c] & CLASS_CATEGORY;
    bool found = s->categories >> category & 1;
    if (s->classes)
        found = found || (s->classes & (classes[c] & CLASS_SPACE ? SET_SPACE : SET_NOT_SPACE)) ||
                (s->classes & (is_word(c, category) ? SET_WORD : SET_NOT_WORD));
    for (size_t i = 0; i < s->range_count && !found; i++)
        found = c >= s->ranges[i].first && c <= s->ranges[i].last;
    return found != s->negated;
}

static void finish_set(struct set *s)
{
    for (uint32_t c = 0; c < 128; c++)
        s->ascii[c] = set_has(s, character_classes(), c);
}

/* Parsing. */

struct parser {
    const char *at, *all, *path;
    bool folded; /* inside (?i: */
    unsigned depth;
    struct error *e;
};

static int refuse(const struct parser *p, const char *what)
{
    return error_set(p->e, ERROR_USAGE, "%s: its pre_tokenizer cuts by the regular expression %.300s, whose %s is not supported",
                     p->path, p->all, what);
}

static uint32_t next_character(struct parser *p)
{
    uint32_t c;
    p->at += utf8_decode((const uint8_t *)p->at, (const uint8_t *)p->at + strlen(p->at), &c);
    return c;
}

static bool skip(struct parser *p, const char *text)
{
    size_t n = strlen(text);
    if (strncmp(p->at, text, n) != 0)
        return false;
    p->at += n;
    return true;
}

/* A general category, or the first letter of several. 0: unknown. */
static uint32_t category_mask(const char *name, size_t size)
{
    static const char names[][3] = {"Cn", "Cc", "Cf", "Co", "Cs", "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl",
                                    "No", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Sm", "Sc", "Sk", "So", "Zs", "Zl", "Zp"};
    uint32_t mask = 0;
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if ((size == 1 && name[0] == names[i][0]) || (size == 2 && !strncmp(name, names[i], 2)))
            mask |= 1u << i;
    return mask;
}

static int parse_property(struct parser *p, struct set *s, bool negated)
{
    const char *end = *p->at == '{' ? strchr(p->at, '}') : NULL;
    if (!end)
        return refuse(p, "\\p without {..}");
    const char *name = p->at + 1;
    if (*name == '^') {
        negated = !negated;
        name++;
    }
    uint32_t mask = category_mask(name, (size_t)(end - name));
    if (!mask)
        return refuse(p, "\\p{..} of that name");
    s->categories |= negated ? ~mask : mask;
    p->at = end + 1;
    return 0;
}

/* Behind a backslash: a class, or one character into *c (then *single). */
static int parse_escape(struct parser *p, struct set *s, uint32_t *c, bool *single)
{
    static const char letters[] = "nrtfv0", values[] = "\n\r\t\f\v";
    *single = false;
    char letter = *p->at;
    if (!letter)
        return refuse(p, "\\ at the end");
    uint32_t digits = 1u << CATEGORY_ND;
    const char *known = letter == '0' ? NULL : strchr(letters, letter);
    *c = next_character(p);
    switch (letter) {
    case 's':
    case 'S':
        s->classes |= letter == 's' ? SET_SPACE : SET_NOT_SPACE;
        return 0;
    case 'w':
    case 'W':
        s->classes |= letter == 'w' ? SET_WORD : SET_NOT_WORD;
        return 0;
    case 'd':
    case 'D':
        s->categories |= letter == 'd' ? digits : ~digits;
        return 0;
    case 'p':
    case 'P':
        return parse_property(p, s, letter == 'P');
    default:
        break;
    }
    *single = true;
    if (known)
        *c = (uint8_t)values[known - letters];
    else if (*c < 128 &&
             ((letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') || (letter >= '0' && letter <= '9')))
        return refuse(p, "\\ with that letter or number");
    return 0;
}

/* Behind "[". */
static int parse_set(struct parser *p, struct set *s)
{
    s->negated = skip(p, "^");
    for (bool first = true; first || *p->at != ']'; first = false) {
        uint32_t c, last;
        bool single = true;
        if (!*p->at)
            return refuse(p, "[ without ]");
        if (*p->at == '[' || !strncmp(p->at, "&&", 2) || (first && *p->at == ']'))
            return refuse(p, "set inside a set");
        if (skip(p, "\\")) {
            if (parse_escape(p, s, &c, &single))
                return -1;
        } else {
            c = next_character(p);
        }
        if (!single)
            continue;
        last = c;
        if (p->at[0] == '-' && p->at[1] && p->at[1] != ']') {
            p->at++;
            if (skip(p, "\\")) {
                if (parse_escape(p, s, &last, &single))
                    return -1;
            } else {
                last = next_character(p);
            }
            if (!single || last < c)
                return refuse(p, "range in a set");
        }
        add_range(s, c, last);
    }
    p->at++;
    return p->folded ? refuse(p, "set without regard to case") : 0;
}

static void add_literal(const struct parser *p, struct set *s, uint32_t c)
{
    add_range(s, c, c);
    if (!p->folded || c >= 128)
        return;
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (letter)
        add_range(s, c ^ 0x20, c ^ 0x20);
    if ((c | 0x20) == 's')
        add_range(s, 0x17F, 0x17F);
    if ((c | 0x20) == 'k')
        add_range(s, 0x212A, 0x212A);
}

static int parse_group(struct parser *p, struct group **ret);

/* Behind "(". */
static int parse_parenthesis(struct parser *p, struct item *item)
{
    bool folded = p->folded;
    item->kind = ITEM_GROUP;
    if (skip(p, "?i:"))
        p->folded = true;
    else if (skip(p, "?="))
        item->kind = ITEM_AHEAD;
    else if (skip(p, "?!"))
        item->kind = ITEM_NOT_AHEAD;
    else if (!skip(p, "?:") && (*p->at == '?' || *p->at == '*'))
        return refuse(p, "kind of (?..)");
    if (++p->depth > MAX_DEPTH)
        return refuse(p, "depth of groups");
    if (parse_group(p, &item->group))
        return -1;
    p->depth--;
    p->folded = folded;
    return skip(p, ")") ? 0 : refuse(p, "( without )");
}

static int parse_item(struct parser *p, struct item *item)
{
    uint32_t c;
    bool single = true;
    char letter = *p->at;
    if (skip(p, "("))
        return parse_parenthesis(p, item);
    if (letter == '^' || letter == '$' || letter == '*' || letter == '+' || letter == '?')
        return refuse(p, "^, $ or quantifier without a character");
    if (skip(p, "[")) {
        if (parse_set(p, &item->set))
            return -1;
    } else if (skip(p, ".")) {
        add_range(&item->set, '\n', '\n');
        item->set.negated = true;
    } else if (skip(p, "\\")) {
        if (parse_escape(p, &item->set, &c, &single))
            return -1;
        if (single)
            add_literal(p, &item->set, c);
    } else {
        add_literal(p, &item->set, next_character(p));
    }
    finish_set(&item->set);
    return 0;
}

/* {n}, {n,}, {,m}, {n,m}; `at` behind the brace. */
static int parse_counts(struct parser *p, struct item *item)
{
    char *end;
    bool from = *p->at >= '0' && *p->at <= '9';
    unsigned long least = from ? strtoul(p->at, &end, 10) : 0, most;
    const char *at = from ? end : p->at;
    most = least;
    if (*at == ',') {
        at++;
        bool to = *at >= '0' && *at <= '9';
        most = to ? strtoul(at, &end, 10) : NO_LIMIT;
        at = to ? end : at;
    }
    if (*at != '}' || least > most || (most > 100000 && most != NO_LIMIT))
        return refuse(p, "{..}");
    p->at = at + 1;
    item->least = (uint32_t)least;
    item->most = (uint32_t)most;
    return *p->at == '+' || *p->at == '?' ? refuse(p, "{..} with + or ? behind it") : 0;
}

static int parse_quantifier(struct parser *p, struct item *item)
{
    item->least = item->most = 1;
    bool simple = true;
    if (skip(p, "{")) {
        if (parse_counts(p, item))
            return -1;
        simple = false;
    } else if (skip(p, "?")) {
        item->least = 0;
    } else if (skip(p, "*")) {
        item->least = 0;
        item->most = NO_LIMIT;
    } else if (skip(p, "+")) {
        item->most = NO_LIMIT;
    } else {
        return 0;
    }
    if (simple && *p->at == '?')
        return refuse(p, "lazy quantifier");
    item->possessive = simple && skip(p, "+");
    if (*p->at == '*' || *p->at == '{' || (*p->at == '+' && item->possessive))
        return refuse(p, "quantifier of a quantifier");
    if (item->kind != ITEM_SET && (item->most != 1 || item->possessive || item->kind != ITEM_GROUP))
        return refuse(p, "repeated group");
    return 0;
}

static int parse_sequence(struct parser *p, struct sequence *s)
{
    while (*p->at && *p->at != '|' && *p->at != ')') {
        s->items = reallocate(s->items, s->count + 1, sizeof *s->items);
        struct item *item = &s->items[s->count++];
        *item = (struct item){0};
        if (parse_item(p, item) || parse_quantifier(p, item))
            return -1;
    }
    return 0;
}

static int parse_group(struct parser *p, struct group **ret)
{
    struct group *g = *ret = allocate(1, sizeof *g);
    do {
        g->alternatives = reallocate(g->alternatives, g->count + 1, sizeof *g->alternatives);
        g->alternatives[g->count] = (struct sequence){0};
        if (parse_sequence(p, &g->alternatives[g->count++]))
            return -1;
    } while (skip(p, "|"));
    return 0;
}

static bool can_be_empty(const struct group *g)
{
    for (size_t i = 0; i < g->count; i++) {
        bool empty = true;
        for (size_t k = 0; k < g->alternatives[i].count && empty; k++) {
            const struct item *item = &g->alternatives[i].items[k];
            empty = !item->least || item->kind == ITEM_AHEAD || item->kind == ITEM_NOT_AHEAD ||
                    (item->kind == ITEM_GROUP && can_be_empty(item->group));
        }
        if (empty)
            return true;
    }
    return false;
}

int pattern_create(struct pattern **ret, const char *expression, const char *path, struct error *e)
{
    struct parser parser = {.at = expression, .all = expression, .path = path, .e = e};
    struct pattern *p = allocate(1, sizeof *p);
    p->classes = character_classes();
    int result = parse_group(&parser, &p->group);
    if (!result && *parser.at)
        result = refuse(&parser, ") without (");
    if (!result && can_be_empty(p->group))
        result = refuse(&parser, "match of the empty text");
    if (result) {
        pattern_destroy(p);
        return -1;
    }
    *ret = p;
    return 0;
}

/* Matching. */

struct subject {
    const uint8_t *classes, *end;
};

/* What is still to be matched: the items of a sequence from `at` on, then `next`. */
struct rest {
    const struct sequence *sequence;
    size_t at;
    const struct rest *next;
};

static const uint8_t *match_rest(const struct subject *s, const struct rest *r, const uint8_t *p); /* its end; NULL: none */

/* Size of the character at p if the set has it; 0: not. */
static inline unsigned match_one(const struct subject *s, const struct set *set, const uint8_t *p)
{
    uint32_t c;
    if (p == s->end)
        return 0;
    if (*p < 128)
        return set->ascii[*p];
    unsigned n = utf8_decode(p, s->end, &c);
    return set_has(set, s->classes, c) ? n : 0;
}

/* As many as there are, then fewer until the rest matches. */
static const uint8_t *match_set(const struct subject *s, const struct item *item, const struct rest *r, const uint8_t *p)
{
    uint32_t count = 0;
    for (unsigned n; count < item->most && (n = match_one(s, &item->set, p)); count++)
        p += n;
    for (;; count--) {
        if (count < item->least)
            return NULL;
        const uint8_t *stop = match_rest(s, r, p);
        if (stop || count == item->least || item->possessive)
            return stop;
        do
            p--;
        while ((*p & 0xC0) == 0x80);
    }
}

static const uint8_t *match_group(const struct subject *s, const struct group *g, const struct rest *r, const uint8_t *p)
{
    const uint8_t *stop = NULL;
    for (size_t i = 0; i < g->count && !stop; i++)
        stop = match_rest(s, &(struct rest){&g->alternatives[i], 0, r}, p);
    return stop;
}

static const uint8_t *match_rest(const struct subject *s, const struct rest *r, const uint8_t *p)
{
    while (r && r->at == r->sequence->count)
        r = r->next;
    if (!r)
        return p;
    const struct item *item = &r->sequence->items[r->at];
    const struct rest behind = {r->sequence, r->at + 1, r->next};
    const uint8_t *stop;
    switch (item->kind) {
    case ITEM_SET:
        return match_set(s, item, &behind, p);
    case ITEM_GROUP:
        stop = match_group(s, item->group, &behind, p);
        return stop || item->least ? stop : match_rest(s, &behind, p);
    default:
        stop = match_group(s, item->group, NULL, p);
        return !stop == (item->kind == ITEM_NOT_AHEAD) ? match_rest(s, &behind, p) : NULL;
    }
}

bool pattern_find(const void *pattern, const char *text, size_t size, size_t from, struct match *ret)
{
    const struct pattern *p = pattern;
    const uint8_t *start = (const uint8_t *)text, *at = start + from;
    const struct subject s = {p->classes, start + size};
    uint32_t c;
    for (; at < s.end; at += utf8_decode(at, s.end, &c)) {
        const uint8_t *stop = match_group(&s, p->group, NULL, at);
        if (stop) {
            *ret = (struct match){(size_t)(at - start), (size_t)(stop - start)};
            return true;
        }
    }
    return false;
}

/* Split. */

struct split {
    struct pattern *pattern; /* NULL: `text` */
    char *text;
    enum split_behavior behavior;
    bool invert;
};

static bool find_text(const void *pattern, const char *text, size_t size, size_t from, struct match *ret)
{
    const struct split *s = pattern;
    size_t n = strlen(s->text);
    const char *found = memmem(text + from, size - from, s->text, n);
    if (found)
        *ret = (struct match){(size_t)(found - text), (size_t)(found - text) + n};
    return found;
}

static void apply_split(const void *state, struct piece p, struct buffer *memory, struct piece_sink *to)
{
    const struct split *s = state;
    (void)memory;
    if (s->pattern)
        split_piece(p, pattern_find, s->pattern, s->behavior, s->invert, to);
    else
        split_piece(p, find_text, s, s->behavior, s->invert, to);
}

static void split_destroy(void *state)
{
    struct split *s = state;
    pattern_destroy(s->pattern);
    free(s->text);
    free(s);
}

int split_step_read(struct pre_tokenizer_step *ret, const struct json *j, const struct pipeline_source *source, struct error *e)
{
    const struct json *pattern = json_get(j, "pattern");
    const char *expression = json_string(json_get(pattern, "Regex")), *text = json_string(json_get(pattern, "String"));
    struct split *s = allocate(1, sizeof *s);
    s->invert = json_boolean(json_get(j, "invert"));
    if (split_behavior_read(&s->behavior, json_string(json_get(j, "behavior")), source->path, e))
        goto fail;
    if (!expression && !(text && *text)) {
        error_set(e, ERROR_DATA, "%s: its Split has neither a Regex nor a String to cut at", source->path);
        goto fail;
    }
    if (expression && pattern_create(&s->pattern, expression, source->path, e))
        goto fail;
    s->text = duplicate(text);
    *ret = (struct pre_tokenizer_step){apply_split, split_destroy, s};
    return 0;
fail:
    split_destroy(s);
    return -1;
}
