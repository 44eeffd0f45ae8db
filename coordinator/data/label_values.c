/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/data/label_values.h"

#include "common/base/buffer.h"
#include "common/base/memory.h"
#include "common/text/compose.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void label_values_create(struct label_values *v)
{
    *v = (struct label_values){0};
    table_create(&v->texts);
}

void label_values_free(struct label_values *v)
{
    for (uint32_t i = 0; i < table_count(v->texts); i++)
        free((char *)(uintptr_t)table_key(v->texts, i));
    table_destroy(&v->texts);
    free(v->values);
    *v = (struct label_values){0};
}

const char *label_text(const struct label_values *v, uint32_t value)
{
    return table_key(v->texts, value);
}

size_t label_values_count(const struct label_values *v)
{
    return table_count(v->texts);
}

/* Decimal digits only: no hexadecimal, no infinity, and no code such as 007, which is another than 7. */
static bool reads_as_number(const char *text, double *number)
{
    char *end;
    const char *first = text + strspn(text, "+-");
    if (!*text || text[strspn(text, "0123456789+-.eE")] || (first[0] == '0' && isdigit((unsigned char)first[1])))
        return false;
    *number = strtod(text, &end);
    return !*end && isfinite(*number);
}

static char *trimmed_copy(const char *text)
{
    while (*text && strchr(" \t\r\n", *text))
        text++;
    size_t size = strlen(text);
    while (size > 0 && strchr(" \t\r\n", text[size - 1]))
        size--;
    return format_string("%.*s", (int)size, text);
}

uint32_t label_values_add(struct label_values *v, const char *text, const struct label_place *at, struct error *e)
{
    char *name = trimmed_copy(text);
    v->trimmed += strlen(name) != strlen(text);
    uint32_t number = table_find(v->texts, name);
    if (number != TABLE_ABSENT) {
        free(name);
        return number;
    }
    if (table_count(v->texts) == LABEL_VALUES_MOST) {
        free(name);
        error_set(e, ERROR_DATA, "%s:%u: more than %d different labels in field '%s'; is data.label the right field?", at->path,
                  at->line, LABEL_VALUES_MOST, at->field);
        return UINT32_MAX;
    }
    number = table_add(v->texts, name);
    v->values = grow(v->values, &v->capacity, number + 1, sizeof *v->values);
    struct label_value *new = &v->values[number];
    *new = (struct label_value){.file = at->file, .line = at->line};
    new->boolean = !strcasecmp(name, "true") || !strcasecmp(name, "false");
    new->numeric = reads_as_number(name, &new->number);
    if (new->boolean)
        new->number = !strcasecmp(name, "true");
    return number;
}

/* ---- lists as text ---- */

/* A text in quotes, as Python's repr writes it; *at is on the quote and ends behind the closing one. NULL: it is not closed. */
static char *read_quoted(const char **at)
{
    char quote = *(*at)++;
    struct buffer text = {0};
    buffer_append(&text, "", 0);
    while (**at && **at != quote) {
        *at += **at == '\\' && (*at)[1];
        buffer_append(&text, (*at)++, 1);
    }
    if (!**at) {
        buffer_free(&text);
        return NULL;
    }
    ++*at;
    return text.data;
}

/* Up to a comma, blank, colon or closing bracket: a number, True, None, or a bare word. */
static struct json *read_bare(const char **at)
{
    size_t size = strcspn(*at, ", \t\r\n:])}");
    char *word = format_string("%.*s", (int)size, *at);
    struct json *value = !strcasecmp(word, "none") || !strcasecmp(word, "null") ? json_null() : json_of_string(word);
    *at += size;
    free(word);
    return size ? value : (json_destroy(&value), NULL);
}

static void skip_between(const char **at)
{
    *at += strspn(*at, ", \t\r\n");
}

/* [a, b], (a, b), {a, b} and {a: 1, b: 0} in Python's and NumPy's spelling. NULL: it is none of them. */
static struct json *read_literal(const char *text)
{
    const char *at = text + 1;
    char close = *text == '[' ? ']' : *text == '(' ? ')' : '}';
    struct json *list = json_array(), *object = json_object();
    bool failed = false;
    for (skip_between(&at); *at && *at != close && !failed; skip_between(&at)) {
        char *quoted = *at == '\'' || *at == '"' ? read_quoted(&at) : NULL;
        struct json *item = quoted ? json_of_string(quoted) : read_bare(&at), *value = NULL;
        at += item ? strspn(at, " \t") : 0;
        if (item && *at == ':') {
            at += 1 + strspn(at + 1, " \t");
            value = read_bare(&at);
        }
        failed = !item || (!value && json_size(object) > 0) || (value && json_size(list) > 0);
        if (value && json_string(item))
            json_set(object, json_string(item), value);
        else if (item)
            json_append(list, json_copy(item));
        json_destroy(&item);
        free(quoted);
    }
    failed = failed || *at != close || at[1 + strspn(at + 1, " \t\r\n")];
    struct json *result = failed ? NULL : json_size(object) > 0 ? object : list;
    if (result != list)
        json_destroy(&list);
    if (result != object)
        json_destroy(&object);
    return result;
}

static struct json *split(const char *text, const char *separator)
{
    struct json *list = json_array();
    for (const char *at = text, *end; at; at = end ? end + strlen(separator) : NULL) {
        end = strstr(at, separator);
        char *name = format_string("%.*s", end ? (int)(end - at) : (int)strlen(at), at);
        if (!text_is_blank(name))
            json_append(list, json_of_string(name));
        free(name);
    }
    return list;
}

/* A text of many labels as the list or object that it stands for. */
static int parse_text(struct json **ret, const char *text, const char *separator, const struct label_place *at, struct error *e)
{
    struct error ignored;
    text += strspn(text, " \t\r\n");
    if (!strchr("[({", *text)) {
        *ret = split(text, separator && *separator ? separator : ";");
        return 0;
    }
    if (json_parse(ret, text, strlen(text), at->field, &ignored) == 0)
        return 0;
    *ret = read_literal(text);
    return *ret ? 0
                : error_set(e, ERROR_DATA, "%s:%u: field '%s' opens a list or an object and is none: %.80s", at->path, at->line,
                            at->field, text);
}

/* ---- a row ---- */

static int add_scalar(struct row_labels *to, struct label_values *v, const struct json *value, const struct label_place *at,
                      struct error *e)
{
    enum json_type type = json_type(value);
    char *number = type == JSON_NUMBER ? json_print(value, false) : NULL;
    const char *text = type == JSON_STRING    ? json_string(value)
                       : type == JSON_BOOLEAN ? (json_boolean(value) ? "true" : "false")
                                              : number;
    uint32_t found = UINT32_MAX;
    if (!text || text_is_blank(text))
        error_set(e, ERROR_DATA, "%s:%u: field '%s' is %s; expected a label's name or index", at->path, at->line, at->field,
                  text ? "a blank text in its list" : json_type_name(type));
    else
        found = label_values_add(v, text, at, e);
    free(number);
    if (found == UINT32_MAX)
        return -1;
    to->value[to->count++] = found;
    return 0;
}

static int add_members(struct row_labels *to, struct label_values *v, const struct json *object, const struct label_place *at,
                       struct error *e)
{
    for (size_t i = 0; i < json_size(object); i++) {
        const struct json *item = json_at(object, i);
        const char *text = json_string(item);
        double on = json_type(item) == JSON_BOOLEAN ? json_boolean(item)
                    : text                          ? (strcasecmp(text, "true") ? strtod(text, NULL) : 1)
                                                    : json_number(item);
        if (json_type(item) != JSON_NULL && on != 0 && on != 1)
            return error_set(e, ERROR_DATA, "%s:%u: a label's value must be 0, 1 or null", at->path, at->line);
        uint32_t value = label_values_add(v, json_key(object, i), at, e);
        if (value == UINT32_MAX)
            return -1;
        if (on == 1)
            to->value[to->count++] = value;
    }
    v->objects++;
    return 0;
}

static int add_items(struct row_labels *to, struct label_values *v, const struct json *list, const struct label_place *at,
                     struct error *e)
{
    size_t size = json_size(list);
    to->list = true;
    for (size_t i = 0; i < size; i++)
        if (add_scalar(to, v, json_at(list, i), at, e))
            return -1;
    for (uint32_t i = 1; i < to->count && !v->repeats; i++)
        for (uint32_t k = 0; k < i && !v->repeats; k++)
            v->repeats = to->value[i] == to->value[k];
    v->lists++;
    v->sizes_differ = v->sizes_differ || (size && v->list_size && size != v->list_size);
    v->list_size = v->list_size ? v->list_size : size;
    return 0;
}

int row_labels_read(struct row_labels **ret, struct label_values *v, const struct json *value, bool multi, const char *separator,
                    const struct label_place *at, struct error *e)
{
    const char *text = json_string(value);
    struct json *parsed = NULL;
    *ret = NULL;
    if (!value || json_type(value) == JSON_NULL || (text && text_is_blank(text)))
        return 0;
    if (multi && text && parse_text(&parsed, text, separator, at, e))
        return -1;
    value = parsed ? parsed : value;
    struct row_labels *row = allocate(1, sizeof *row + (1 + json_size(value)) * sizeof row->value[0]);
    row->file = at->file;
    row->line = at->line;
    int result = !multi || (json_type(value) != JSON_ARRAY && json_type(value) != JSON_OBJECT) ? add_scalar(row, v, value, at, e)
                 : json_type(value) == JSON_ARRAY                                              ? add_items(row, v, value, at, e)
                                                  : add_members(row, v, value, at, e);
    v->scalars += !result && !row->list && json_type(value) != JSON_OBJECT;
    json_destroy(&parsed);
    if (result)
        free(row);
    else
        *ret = row;
    return result;
}
