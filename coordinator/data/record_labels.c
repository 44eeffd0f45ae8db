/* Owns the understanding of a row's labels: an index, a name, a list, an object, a cell of a table, or columns of 0 and 1. */
#include "common/base/memory.h"
#include "common/base/near.h"
#include "common/text/compose.h"
#include "coordinator/data/record_reader.h"

#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_LABELS 100000
#define LABEL_IGNORED UINT32_MAX

static int refuse(struct reader *r, struct error *e, const char *what)
{
    return error_set(e, ERROR_DATA, "%s:%u: %s", r->path, r->line, what);
}

/* A number is an index, but where a label is named so ("1" of stars from 1 to 5) that label. */
static int label_from_index(struct reader *r, uint32_t *ret, double value, struct error *e)
{
    char text[160];
    size_t names = r->in->labels.count;
    uint32_t limit = names ? (uint32_t)names : MAX_LABELS;
    snprintf(text, sizeof text, "%.17g", value);
    *ret = table_find(r->given, text);
    if (*ret != TABLE_ABSENT)
        return 0;
    if (!(value >= 0) || value != floor(value) || value >= limit) {
        snprintf(text, sizeof text, "field '%.40s': label %.17g is out of range; expected a whole number from 0 to %u",
                 r->label_field, value, limit - 1);
        return refuse(r, e, text);
    }
    if (!names && r->form == LABELS_NAME)
        return refuse(r, e, "the label is a number, those before it are names; use one of the two");
    r->form = LABELS_INDEX;
    *ret = (uint32_t)value;
    if (*ret >= r->index_count)
        r->index_count = *ret + 1;
    return 0;
}

static int unknown_label(struct reader *r, const char *name, struct error *e)
{
    const struct text_fields *names = &r->in->labels;
    char hint[128], text[400];
    snprintf(text, sizeof text, "field '%.40s': label '%.80s' is not one of data.labels%s", r->label_field, name,
             near_hint(hint, sizeof hint, name, (const char *const *)names->names, names->count));
    return refuse(r, e, text);
}

static bool whole_number(double *ret, const char *text)
{
    size_t digits = strspn(text, "0123456789");
    *ret = digits > 0 && digits < 10 && !text[digits] ? strtod(text, NULL) : -1;
    return *ret >= 0;
}

static int label_from_name(struct reader *r, uint32_t *ret, const char *name, struct error *e)
{
    double index;
    *ret = table_find(r->given, name);
    if (*ret != TABLE_ABSENT)
        return 0;
    if (table_find(r->ignored, name) != TABLE_ABSENT) {
        *ret = LABEL_IGNORED;
        return 0;
    }
    if (r->in->labels.count)
        return r->cells && whole_number(&index, name) ? label_from_index(r, ret, index, e) : unknown_label(r, name, e);
    if (r->form == LABELS_INDEX)
        return refuse(r, e, "the label is a name, those before it are numbers; use one of the two");
    r->form = LABELS_NAME;
    *ret = table_find(r->names, name);
    if (*ret == TABLE_ABSENT) {
        if (table_count(r->names) == MAX_LABELS)
            return refuse(r, e, "more than 100000 different labels; is data.label the right field?");
        *ret = table_add(r->names, arena_string(r->out->texts, name, strlen(name)));
    }
    return 0;
}

static int label_from_value(struct reader *r, uint32_t *ret, const struct json *value, struct error *e)
{
    switch (json_type(value)) {
    case JSON_NUMBER:
        return label_from_index(r, ret, json_number(value), e);
    case JSON_BOOLEAN:
        return label_from_index(r, ret, json_boolean(value), e);
    case JSON_STRING:
        return label_from_name(r, ret, json_string(value), e);
    default:
        return error_set(e, ERROR_DATA, "%s:%u: field '%s' is %s; expected a label's name or index", r->path, r->line,
                         r->label_field, json_type_name(json_type(value)));
    }
}

static void take_label(struct found_labels *to, uint32_t number)
{
    if (number == LABEL_IGNORED)
        to->ignored = true;
    else
        to->number[to->count++] = number;
}

/* Multi-label: a list of names, or an object name -> 0, 1 or null, or one name. */
static int labels_of_row(struct reader *r, struct found_labels *to, const struct json *value, struct error *e)
{
    bool object = json_type(value) == JSON_OBJECT;
    uint32_t number;
    if (!object && json_type(value) != JSON_ARRAY) {
        if (label_from_value(r, &number, value, e))
            return -1;
        take_label(to, number);
        return 0;
    }
    for (size_t i = 0; i < json_size(value); i++) {
        const struct json *item = json_at(value, i);
        double on = object && json_type(item) == JSON_BOOLEAN ? json_boolean(item) : json_number(item);
        if (object && json_type(item) != JSON_NULL && on != 0 && on != 1)
            return refuse(r, e, "a label's value is not 0, 1 or null");
        if (object ? label_from_name(r, &number, json_key(value, i), e) : label_from_value(r, &number, item, e))
            return -1;
        if (!object || on == 1)
            take_label(to, number);
    }
    return 0;
}

/* A cell as the list or text that it stands for: "[..]" and "{..}" are JSON, "a;b" is a list. */
static int cell_value(struct reader *r, struct json **ret, const char *cell, struct error *e)
{
    const char *separator = r->in->label_separator && *r->in->label_separator ? r->in->label_separator : ";";
    if (r->in->multi && (*cell == '[' || *cell == '{')) {
        if (!json_parse(ret, cell, strlen(cell), r->label_field, e))
            return 0;
        return error_set(e, ERROR_DATA, "%s:%u: field '%s' opens a JSON list or object and is none: %.80s", r->path, r->line,
                         r->label_field, cell);
    }
    struct json *list = json_array();
    for (const char *at = cell, *end; at; at = end ? end + strlen(separator) : NULL) {
        end = r->in->multi ? strstr(at, separator) : NULL;
        size_t size = end ? (size_t)(end - at) : strlen(at);
        while (size > 0 && strchr(" \t\r\n", *at))
            at++, size--;
        while (size > 0 && strchr(" \t\r\n", at[size - 1]))
            size--;
        char *name = format_string("%.*s", (int)size, at);
        if (*name)
            json_append(list, json_of_string(name));
        free(name);
    }
    *ret = list;
    return 0;
}

static int labels_of_value(struct reader *r, struct found_labels **ret, const struct json *value, struct error *e)
{
    struct found_labels *found = allocate(1, sizeof *found + (1 + json_size(value)) * sizeof found->number[0]);
    uint32_t number;
    int result;
    if (r->in->multi) {
        result = labels_of_row(r, found, value, e);
    } else if (!(result = label_from_value(r, &number, value, e))) {
        take_label(found, number);
    }
    if (result)
        free(found);
    else
        *ret = found;
    return result;
}

/* ---- label columns ---- */

bool has_labels(const struct input *in)
{
    return in->label || in->label_columns.count > 0;
}

static bool is_column(struct reader *r, const char *field)
{
    bool found = false;
    for (size_t i = 0; i < r->in->label_columns.count && !found; i++) {
        found = fnmatch(r->in->label_columns.names[i], field, FNM_NOESCAPE) == 0 || !strcmp(r->in->label_columns.names[i], field);
        r->column_found[i] = r->column_found[i] || found;
    }
    return found;
}

/* 0, 1, true, false, null, and in cells the same as texts, 1.0 too, as tools write columns that have gaps. */
static int read_flag(struct reader *r, bool *ret, const struct json *value, struct error *e)
{
    const char *text = json_string(value);
    char *end = NULL;
    double number = text ? strtod(text, &end) : json_number(value);
    enum json_type type = json_type(value);
    *ret = type == JSON_BOOLEAN ? json_boolean(value) : text && !strcasecmp(text, "true") ? true : number == 1;
    bool number_cell = text && end != text && !*end && (number == 0 || number == 1);
    if (type == JSON_NULL || type == JSON_BOOLEAN || (type == JSON_NUMBER && (number == 0 || number == 1)) || number_cell ||
        (text && (text_is_blank(text) || !strcasecmp(text, "true") || !strcasecmp(text, "false"))))
        return 0;
    char *shown = json_print(value, false);
    error_set(e, ERROR_DATA, "%s:%u: field '%s' is %.60s; a label's column holds 1 or 0, or nothing", r->path, r->line,
              r->label_field, shown);
    free(shown);
    return -1;
}

static int read_columns(struct reader *r, struct found_labels **ret, const struct json *row, struct error *e)
{
    struct found_labels *found = allocate(1, sizeof *found + json_size(row) * sizeof found->number[0]);
    int result = 0;
    for (size_t i = 0; i < json_size(row) && !result; i++) {
        uint32_t number = 0;
        bool on;
        if (!is_column(r, json_key(row, i)))
            continue;
        r->label_field = json_key(row, i);
        result = read_flag(r, &on, json_at(row, i), e) || label_from_name(r, &number, r->label_field, e) ? -1 : 0;
        if (!result && on)
            take_label(found, number);
    }
    bool dropped = !found->count && found->ignored; /* as records_prune does with rows that have none left */
    *ret = result || dropped ? NULL : found;
    if (result || dropped)
        free(found);
    return result;
}

int read_label(struct reader *r, struct found_labels **ret, const struct json *row, struct error *e)
{
    const struct json *value = r->in->label ? json_get(row, r->in->label) : NULL;
    const char *text = json_string(value);
    struct json *list = NULL;
    *ret = NULL;
    r->label_field = r->in->label;
    if (r->in->label_columns.count > 0)
        return read_columns(r, ret, row, e);
    if (!value || json_type(value) == JSON_NULL || (text && text_is_blank(text)))
        return 0;
    if (text && r->cells && cell_value(r, &list, text, e))
        return -1;
    int result = labels_of_value(r, ret, !list ? value : r->in->multi ? list : json_at(list, 0), e);
    json_destroy(&list);
    if (!result && !(*ret)->count && (*ret)->ignored) { /* as records_prune does with rows that have none left */
        free(*ret);
        *ret = NULL;
    }
    return result;
}

/* Names by letters; if all are whole numbers, by value. */
static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int by_value(const void *a, const void *b)
{
    double x = strtod(*(const char *const *)a, NULL), y = strtod(*(const char *const *)b, NULL);
    return x != y ? (x > y) - (x < y) : by_name(a, b);
}

static void sort_names(char **names, size_t count)
{
    bool numbers = true;
    double ignored;
    for (size_t i = 0; i < count && numbers; i++)
        numbers = whole_number(&ignored, names[i]);
    if (count)
        qsort(names, count, sizeof *names, numbers ? by_value : by_name);
}

void name_labels(struct reader *r)
{
    struct records *out = r->out;
    size_t given = r->in->labels.count;
    out->label_count = given ? given : r->form == LABELS_NAME ? table_count(r->names) : r->index_count;
    out->labels = allocate(out->label_count, sizeof *out->labels);
    for (size_t i = 0; i < out->label_count; i++)
        out->labels[i] = given                    ? duplicate(r->in->labels.names[i])
                         : r->form == LABELS_NAME ? duplicate(table_key(r->names, (uint32_t)i))
                                                  : format_string("%zu", i);
    if (!given && r->form == LABELS_NAME)
        sort_names(out->labels, out->label_count);
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* The labels of a row, ascending, each once, to `to`. */
static void set_labels(struct record *row, struct found_labels *found, uint32_t *to)
{
    if (found->count)
        qsort(found->number, found->count, sizeof *found->number, by_number);
    row->labels = to;
    for (uint32_t k = 0; k < found->count; k++)
        if (!row->label_count || found->number[k] != to[row->label_count - 1])
            to[row->label_count++] = found->number[k];
}

void number_labels(struct reader *r)
{
    struct records *out = r->out;
    struct table *order;
    table_create(&order);
    for (size_t i = 0; i < out->label_count; i++)
        table_add(order, out->labels[i]);
    bool by_table = !r->in->labels.count && r->form == LABELS_NAME;
    size_t total = 0;
    for (size_t i = 0; i < out->count && has_labels(r->in); i++)
        total += r->found[i]->count;
    uint32_t *to = out->label_numbers = allocate(total, sizeof *to);
    for (size_t i = 0; i < out->count && has_labels(r->in); i++) {
        struct found_labels *found = r->found[i];
        for (uint32_t k = 0; k < found->count && by_table; k++)
            found->number[k] = table_find(order, table_key(r->names, found->number[k]));
        if (r->in->multi)
            set_labels(&out->rows[i], found, to);
        else
            out->rows[i].class = (int32_t)found->number[0];
        to += out->rows[i].label_count;
    }
    table_destroy(&order);
}
