/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/data/guess.h"

#include "common/base/arena.h"
#include "common/base/buffer.h"
#include "common/base/memory.h"
#include "common/base/near.h"
#include "common/base/stop.h"
#include "common/base/table.h"
#include "common/format/table_file.h"
#include "common/text/compose.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define KEY_SIZE 200 /* of a value, for counting different ones */
#define NONE SIZE_MAX

struct profile {
    char *name;
    struct table *values;
    size_t different;
    uint64_t filled, texts, numbers, lists; /* rows; lists: of texts, or objects */
    uint64_t words, repeats;
    uint64_t letters, foreign;
    uint64_t with[3], bracketed; /* texts that hold each of `separators`; that open a JSON list */
};

static const char *const separators[] = {";", "|", ","};
static const char *const set_separators[] = {";", "|", ",", "/", "+", " "};

static const char *const label_names[] = {"label",    "labels",     "target",    "targets",  "class",   "classes",
                                          "category", "categories", "tag",       "tags",     "topic",   "topics",
                                          "emotion",  "emotions",   "sentiment", "intent",   "genre",   "genres",
                                          "stars",    "rating",     "y",         "postures", "posture", NULL};
static const char *const many_names[] = {"labels", "targets",  "classes", "categories", "tags",
                                         "topics", "emotions", "genres",  "postures",   NULL};
static const char *const id_names[] = {"id", "uuid", "guid", "key", "docid", "index", NULL};
static const char *const group_names[] = {"group",  "source",  "user",     "author", "speaker", "document",
                                          "doc",    "patient", "session",  "thread", "article", "paper",
                                          "domain", "parent",  "customer", "device", "id",      NULL};
static const char *const text_names[] = {"text",     "title",       "subject",    "headline", "summary", "abstract", "authors",
                                         "body",     "content",     "sentence",   "question", "answer",  "query",    "passage",
                                         "context",  "premise",     "hypothesis", "review",   "comment", "message",  "tweet",
                                         "document", "description", "claim",      "evidence", NULL};
static const char *const never_text[] = {"id",        "uuid",       "url",  "link",     "date", "time",
                                         "timestamp", "created_at", "lang", "language", NULL};

static const struct {
    const char *a, *b;
} pairs[] = {{"sentence1", "sentence2"},
             {"text1", "text2"},
             {"text_a", "text_b"},
             {"sentence_a", "sentence_b"},
             {"premise", "hypothesis"},
             {"question", "answer"},
             {"question", "context"},
             {"question", "passage"},
             {"question1", "question2"},
             {"question", "sentence"},
             {"query", "document"},
             {"query", "passage"},
             {"query", "text"},
             {"claim", "evidence"},
             {"a", "b"}};

/* The name itself, or its last part: "paper_id" is an id. */
static bool is_named(const char *name, const char *const *words)
{
    const char *last = strrchr(name, '_');
    for (size_t i = 0; words[i]; i++)
        if (!strcasecmp(name, words[i]) || (last && !strcasecmp(last + 1, words[i])))
            return true;
    return false;
}

/* ---- profiles ---- */

struct profiling {
    struct guess *g;
    struct table *names;
    struct arena *keys;
    size_t capacity;
};

static struct profile *profile_of(struct profiling *p, const char *name)
{
    struct guess *g = p->g;
    uint32_t number = table_find(p->names, name);
    if (number == TABLE_ABSENT) {
        number = table_add(p->names, arena_string(p->keys, name, strlen(name)));
        g->fields = grow(g->fields, &p->capacity, g->field_count + 1, sizeof *g->fields);
        g->fields[g->field_count] = (struct profile){.name = duplicate(name)};
        table_create(&g->fields[g->field_count++].values);
    }
    return &g->fields[number];
}

static void add_value(struct profiling *p, struct profile *f, const char *text)
{
    size_t size = strlen(text), known = table_count(f->values);
    const char *key = arena_string(p->keys, text, size < KEY_SIZE ? size : KEY_SIZE);
    f->repeats += table_add(f->values, key) < known;
}

static void add_text(struct profiling *p, struct profile *f, const char *text)
{
    bool space = true;
    f->texts++;
    for (const char *c = text; *c; c++) {
        bool now = *c == ' ' || *c == '\n' || *c == '\t' || *c == '\r';
        f->words += space && !now;
        space = now;
        f->letters += ((unsigned char)*c & 0xc0) != 0x80;
        f->foreign += ((unsigned char)*c & 0xc0) == 0xc0;
    }
    for (size_t k = 0; k < 3; k++)
        f->with[k] += strstr(text, separators[k]) != NULL;
    f->bracketed += *text == '[';
    add_value(p, f, text);
}

static void add_row(struct profiling *p, const struct json *row)
{
    for (size_t i = 0; i < json_size(row); i++) {
        const struct json *value = json_at(row, i);
        struct profile *f = profile_of(p, json_key(row, i));
        enum json_type type = json_type(value);
        if (type == JSON_NULL || (type == JSON_STRING && text_is_blank(json_string(value))))
            continue;
        f->filled++;
        if (type == JSON_STRING) {
            add_text(p, f, json_string(value));
        } else if (type == JSON_ARRAY || type == JSON_OBJECT) {
            const struct json *first = json_at(value, 0);
            f->lists += type == JSON_OBJECT || !first || json_string(first);
        } else {
            char *text = json_print(value, false);
            f->numbers++;
            add_value(p, f, text);
            free(text);
        }
    }
}

static int profile_file(struct profiling *p, const char *path, struct error *e)
{
    struct table_file *f;
    const struct json *row;
    size_t line;
    int more;
    if (table_file_open(&f, path, &p->g->table, e))
        return -1;
    p->g->cells = table_file_has_cells(f);
    p->g->format = duplicate(table_file_format(f));
    while ((more = table_file_next(f, &row, &line, e)) > 0 && p->g->rows < GUESS_ROWS) {
        add_row(p, row);
        p->g->rows++;
        if (p->g->rows % 1024 == 0 && stop_check(e)) {
            more = -1;
            break;
        }
    }
    table_file_close(&f);
    if (more >= 0 && !p->g->rows)
        return error_set(e, ERROR_DATA, "%s: has no rows; a job needs data", path);
    return more < 0 ? -1 : 0;
}

/* ---- roles ---- */

static double mean_words(const struct profile *f)
{
    return f->texts ? (double)f->words / (double)f->texts : 0;
}

/* ---- a column of parts ---- */

const char *guess_part(const char *name)
{
    static const char *const names[][2] = {
        {"train", "train"},    {"training", "train"}, {"validation", "validation"},  {"valid", "validation"},
        {"val", "validation"}, {"dev", "validation"}, {"development", "validation"}, {"test", "test"},
        {"testing", "test"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcasecmp(name, names[i][0]))
            return names[i][1];
    return NULL;
}

/* By its values alone: train beside test or validation. What else is in it, or rows without a value, make it no split: g->part is
 * NONE then, and g->unused_part says which column that is. Rows that were not looked at may be of any part. */
static bool has_parts(const struct guess *g, const struct profile *f, const char **other)
{
    bool train = false, scored = g->rows >= GUESS_ROWS;
    *other = f->filled < g->rows ? "" : NULL;
    if (f->lists || table_count(f->values) > 6)
        return false;
    for (uint32_t i = 0; i < table_count(f->values); i++) {
        const char *part = guess_part(table_key(f->values, i));
        if (!part)
            *other = table_key(f->values, i);
        train = train || (part && !strcmp(part, "train"));
        scored = scored || (part && strcmp(part, "train"));
    }
    return train && scored;
}

static void choose_part(struct guess *g)
{
    g->part = g->unused_part = NONE;
    for (size_t i = 0; i < g->field_count && g->part == NONE; i++) {
        const char *other;
        if (!has_parts(g, &g->fields[i], &other))
            continue;
        if (!other) {
            g->part = i;
        } else if (g->unused_part == NONE) {
            g->unused_part = i;
            g->no_part = duplicate(other);
        }
    }
}

static bool is_part(const struct guess *g, size_t field)
{
    return field == g->part || field == g->unused_part;
}

/* How much a field looks like a label; 0: not at all. */
static double label_likeness(const struct guess *g, size_t field)
{
    const struct profile *f = &g->fields[field];
    size_t different = table_count(f->values);
    bool named = is_named(f->name, label_names), many = is_named(f->name, many_names);
    if (f->filled * (many ? 10 : 2) < g->rows || is_part(g, field)) /* of "tags" most cells may be empty */
        return 0;
    if (f->lists * 10 > f->filled * 9)
        return named ? 200 : 30;
    if (!named && is_named(f->name, never_text))
        return 0;
    if (different < 2 || mean_words(f) > 6 || (!(many && g->cells) && (different > 1000 || different * 2 > f->filled)))
        return 0;
    return (named ? 100 : 0) + (different <= 2 ? 20 : different <= 50 ? 15 : 2);
}

/* A column that says of each row whether it has a label. */
static bool is_flag(const struct guess *g, const struct profile *f)
{
    static const char *const words[] = {"0", "1", "0.0", "1.0", "true", "false", "True", "False"};
    size_t known = 0;
    for (uint32_t i = 0; i < table_count(f->values); i++)
        for (size_t k = 0; k < sizeof words / sizeof *words; k++)
            known += strcmp(table_key(f->values, i), words[k]) == 0;
    return f->filled * 10 >= g->rows && !f->lists && known > 0 && known == table_count(f->values) && !is_named(f->name, id_names);
}

/* "topic_*" if all columns and nothing else begin so. */
static char *common_pattern(const struct guess *g)
{
    const char *first = g->fields[g->columns[0]].name, *last = strrchr(first, '_');
    size_t size = last ? (size_t)(last - first) + 1 : 0, alike = 0, inside = 0;
    for (size_t i = 0; i < g->field_count; i++)
        alike += strncmp(g->fields[i].name, first, size) == 0;
    for (size_t i = 0; i < g->column_count; i++)
        inside += strncmp(g->fields[g->columns[i]].name, first, size) == 0;
    return size >= 2 && alike == g->column_count && inside == alike ? format_string("%.*s*", (int)size, first) : NULL;
}

/* Two columns of 0 and 1 and more, and nothing that is called a label. */
static void choose_columns(struct guess *g)
{
    g->columns = allocate(g->field_count, sizeof *g->columns);
    for (size_t i = 0; i < g->field_count; i++)
        if (is_flag(g, &g->fields[i]))
            g->columns[g->column_count++] = i;
    if (g->column_count < 2 || g->label_named) {
        g->column_count = 0;
        return;
    }
    g->label = NONE;
    g->pattern = common_pattern(g);
}

static void choose_label(struct guess *g)
{
    double best = 0;
    g->label = NONE;
    for (size_t i = 0; i < g->field_count; i++) {
        double like = label_likeness(g, i);
        if (like > 0 && like >= best) { /* among equals the last: labels tend to stand at the end */
            best = like;
            g->label = i;
        }
    }
    g->label_named = g->label != NONE && is_named(g->fields[g->label].name, label_names);
    choose_columns(g);
}

static int no_label(const struct guess *g, const char *path, struct error *e)
{
    struct buffer names = {0};
    for (size_t i = 0; i < g->field_count && names.size < 400; i++)
        buffer_printf(&names, "%s%s", i ? ", " : "", g->fields[i].name);
    error_set(e, ERROR_DATA, "%s: no field looks like a label; name it: --label FIELD (fields: %s)", path,
              names.data ? names.data : "");
    buffer_free(&names);
    return -1;
}

static int find_label(struct guess *g, const char *path, const char *label, struct error *e)
{
    const char **names = allocate(g->field_count, sizeof *names);
    char hint[160];
    int result = 0;
    g->label = NONE;
    for (size_t i = 0; i < g->field_count; i++) {
        names[i] = g->fields[i].name;
        if (label && !strcmp(label, names[i]))
            g->label = i;
    }
    g->label_named = true;
    if (label && g->label == NONE)
        result = error_set(e, ERROR_USAGE, "--label: %s has no field '%s'%s", path, label,
                           near_hint(hint, sizeof hint, label, names, g->field_count));
    else if (!label)
        choose_label(g);
    free(names);
    return !result && g->label == NONE && g->column_count == 0 ? no_label(g, path, e) : result;
}

/* Are the parts of `text` values by themselves? *several: it has more than one. */
static bool is_set(const struct profile *f, const char *text, const char *separator, bool *several)
{
    char part[KEY_SIZE + 1];
    size_t parts = 0;
    for (const char *at = text, *end; at; at = end ? end + 1 : NULL) {
        end = strchr(at, *separator);
        size_t size = end ? (size_t)(end - at) : strlen(at);
        for (; size && *at == ' '; size--)
            at++;
        for (; size && at[size - 1] == ' '; size--)
            ;
        if (!size && *separator == ' ')
            continue;
        memcpy(part, at, size < KEY_SIZE ? size : KEY_SIZE);
        part[size < KEY_SIZE ? size : KEY_SIZE] = 0;
        parts++;
        if (end || parts > 1)
            *several = true;
        if (*several && (!size || table_find(f->values, part) == TABLE_ABSENT))
            return false;
    }
    *several = parts > 1;
    return true;
}

/* "uses similarities" next to "uses" and "similarities": of the values with a separator nine in ten are made of others. */
static const char *find_sets(const struct profile *f)
{
    for (size_t k = 0; k < sizeof set_separators / sizeof *set_separators; k++) {
        size_t with = 0, sets = 0;
        for (uint32_t i = 0; i < table_count(f->values); i++) {
            const char *text = table_key(f->values, i);
            bool several = false;
            if (!strchr(text, *set_separators[k]))
                continue;
            bool set = is_set(f, text, set_separators[k], &several);
            with += several;
            sets += several && set;
        }
        if (sets > 0 && sets * 10 >= with * 9)
            return set_separators[k];
    }
    return NULL;
}

/* Lists make it multi-label; in cells, a separator in every tenth, or cells that are sets of other cells. */
static void choose_task(struct guess *g)
{
    const struct profile *f = g->label == NONE ? NULL : &g->fields[g->label];
    g->multi = !f || f->lists > 0;
    if (!g->multi && f->texts == f->filled && (g->separator = find_sets(f))) {
        g->multi = g->sets = true;
        return;
    }
    if (!g->cells || !f)
        return;
    if (f->bracketed * 2 > f->filled) {
        g->multi = true;
        return;
    }
    for (size_t k = 0; k < 3 && !g->multi; k++)
        if (f->with[k] * 10 >= f->filled && (k < 2 || is_named(f->name, many_names))) {
            g->multi = true;
            g->separator = separators[k];
        }
}

static void choose_names(struct guess *g)
{
    g->id = g->group = NONE;
    for (size_t i = 0; i < g->field_count; i++) {
        const struct profile *f = &g->fields[i];
        if (i == g->label || is_part(g, i) || f->filled < g->rows || mean_words(f) > 6 || f->lists)
            continue;
        if (g->id == NONE && !f->repeats && is_named(f->name, id_names))
            g->id = i;
        else if (g->group == NONE && f->repeats && table_count(f->values) >= 10 && is_named(f->name, group_names))
            g->group = i;
    }
}

static bool is_column(const struct guess *g, size_t i)
{
    bool found = false;
    for (size_t k = 0; k < g->column_count; k++)
        found = found || g->columns[k] == i;
    return found;
}

static bool is_text(const struct guess *g, size_t i)
{
    const struct profile *f = &g->fields[i];
    if (i == g->label || is_part(g, i) || is_column(g, i) || i == g->id || i == g->group || f->texts * 10 < f->filled * 9 ||
        !f->texts || is_named(f->name, never_text))
        return false;
    return (mean_words(f) >= 3 && f->repeats * 10 < f->texts * 9) || mean_words(f) >= 8 || is_named(f->name, text_names);
}

static size_t field_named(const struct guess *g, const size_t *list, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (!strcasecmp(g->fields[list[i]].name, name))
            return list[i];
    return NONE;
}

/* "ref_paper_title" and "ref_paper_text" are of one thing, "ref_paper". */
static bool same_thing(const char *a, const char *b)
{
    const char *x = strrchr(a, '_'), *y = strrchr(b, '_');
    return x && y && x - a == y - b && !strncmp(a, b, (size_t)(x - a));
}

static void take(struct guess *g, size_t field, bool second)
{
    if (second)
        g->text_b[g->b_count++] = field;
    else
        g->text_a[g->a_count++] = field;
}

/* Fields of one thing beside fields of another: two texts. */
static bool choose_by_prefix(struct guess *g, const size_t *texts, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        size_t alike = 0;
        for (size_t k = 0; k < count; k++)
            alike += same_thing(g->fields[texts[i]].name, g->fields[texts[k]].name);
        if (alike < 2 || alike == count || same_thing(g->fields[texts[0]].name, g->fields[texts[i]].name))
            continue;
        for (size_t k = 0; k < count; k++)
            take(g, texts[k], same_thing(g->fields[texts[i]].name, g->fields[texts[k]].name));
        g->pair_reason = "text pair: fields with a common prefix are one text, the others the other";
        return true;
    }
    return false;
}

static size_t longest(const struct guess *g, const size_t *list, size_t count)
{
    size_t best = count ? list[0] : NONE;
    for (size_t i = 1; i < count; i++)
        if (guess_words(g, list[i]) > guess_words(g, best))
            best = list[i];
    return best;
}

static void choose_texts(struct guess *g)
{
    size_t *texts = allocate(g->field_count, sizeof *texts), count = 0;
    bool chosen = false;
    g->text_a = allocate(g->field_count, sizeof *g->text_a);
    g->text_b = allocate(g->field_count, sizeof *g->text_b);
    for (size_t i = 0; i < g->field_count; i++)
        if (is_text(g, i))
            texts[count++] = i;
    for (size_t k = 0; k < sizeof pairs / sizeof *pairs && !chosen; k++) {
        size_t a = field_named(g, texts, count, pairs[k].a), b = field_named(g, texts, count, pairs[k].b);
        if ((chosen = a != NONE && b != NONE)) {
            take(g, a, false);
            take(g, b, true);
            g->pair_reason = "text pair, recognized by the field names";
        }
    }
    if (!chosen && !choose_by_prefix(g, texts, count)) {
        for (size_t i = 0; i < count; i++)
            take(g, texts[i], false);
        g->pair_reason = count > 1 ? "one text, joined from these fields" : "the field that holds text";
    }
    g->main_a = longest(g, g->text_a, g->a_count);
    g->main_b = longest(g, g->text_b, g->b_count);
    free(texts);
}

static void measure_letters(struct guess *g)
{
    double letters = 0, foreign = 0;
    for (size_t i = 0; i < g->a_count; i++) {
        letters += (double)g->fields[g->text_a[i]].letters;
        foreign += (double)g->fields[g->text_a[i]].foreign;
    }
    g->foreign = letters > 0 ? foreign / letters : 0;
}

int guess_fields(struct guess *ret, const char *path, const char *label, struct error *e)
{
    struct guess g = {.table = {.encoding = table_file_guess_encoding(path)}};
    struct profiling p = {.g = &g};
    table_create(&p.names);
    arena_create(&p.keys);
    int result = profile_file(&p, path, e);
    choose_part(&g);
    if (!result)
        result = find_label(&g, path, label, e);
    if (!result) {
        choose_task(&g);
        choose_names(&g);
        choose_texts(&g);
        measure_letters(&g);
        if (!g.a_count)
            result = error_set(e, ERROR_DATA, "%s: no field holds text; a text classifier needs at least one text field", path);
    }
    for (size_t i = 0; i < g.field_count; i++) { /* the keys go away: only their number is asked for */
        g.fields[i].different = table_count(g.fields[i].values);
        table_destroy(&g.fields[i].values);
    }
    arena_destroy(&p.keys);
    table_destroy(&p.names);
    if (result)
        guess_free(&g);
    else
        *ret = g;
    return result;
}

void guess_free(struct guess *g)
{
    for (size_t i = 0; i < g->field_count; i++)
        free(g->fields[i].name);
    free(g->fields);
    free(g->columns);
    free(g->pattern);
    free(g->no_part);
    free(g->format);
    free(g->text_a);
    free(g->text_b);
    *g = (struct guess){0};
}

const char *guess_name(const struct guess *g, size_t field)
{
    return field == NONE ? NULL : g->fields[field].name;
}

double guess_words(const struct guess *g, size_t field)
{
    return mean_words(&g->fields[field]);
}

size_t guess_distinct(const struct guess *g, size_t field)
{
    return g->fields[field].different;
}
