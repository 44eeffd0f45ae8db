/* SPDX-License-Identifier: Apache-2.0 */
/* The labels of the rows that are read: their values row by row, and their classes once all are. */
#include "common/base/memory.h"
#include "common/text/compose.h"
#include "coordinator/data/record_reader.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool has_labels(const struct input *in)
{
    return in->label || in->label_columns.count > 0;
}

/* ---- label columns ---- */

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
static int read_flag(bool *ret, const struct json *value, const struct label_place *at, struct error *e)
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
    error_set(e, ERROR_DATA, "%s:%u: field '%s' is %.60s; a label column must be 0, 1 or empty", at->path, at->line, at->field,
              shown);
    free(shown);
    return -1;
}

static int read_columns(struct reader *r, struct row_labels **ret, const struct json *row, struct label_place *at,
                        struct error *e)
{
    struct row_labels *found = allocate(1, sizeof *found + json_size(row) * sizeof found->value[0]);
    found->file = at->file;
    found->line = at->line;
    int result = 0;
    for (size_t i = 0; i < json_size(row) && !result; i++) {
        bool on;
        if (!is_column(r, json_key(row, i)))
            continue;
        at->field = json_key(row, i);
        result = read_flag(&on, json_at(row, i), at, e);
        uint32_t value = result ? UINT32_MAX : label_values_add(&r->values, at->field, at, e);
        result = value == UINT32_MAX ? -1 : 0;
        if (!result && on)
            found->value[found->count++] = value;
    }
    *ret = result ? NULL : found;
    if (result)
        free(found);
    return result;
}

int read_label(struct reader *r, struct row_labels **ret, const struct json *row, struct error *e)
{
    struct label_place at = {.path = r->path, .field = r->in->label, .file = r->file, .line = r->line};
    *ret = NULL;
    if (r->in->label_columns.count > 0)
        return read_columns(r, ret, row, &at, e);
    return r->in->label
               ? row_labels_read(ret, &r->values, json_get(row, r->in->label), r->in->multi, r->in->label_separator, &at, e)
               : 0;
}

/* ---- classes ---- */

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* The classes of a row to `to`, ascending, each once: their number. *passed_over: it had a value that is ignored. */
static uint32_t classes_of(const struct label_answer *a, const uint32_t *values, uint32_t value_count, uint32_t *to,
                           bool *passed_over)
{
    uint32_t count = 0, kept = 0;
    *passed_over = false;
    for (uint32_t k = 0; k < value_count; k++) {
        uint32_t class = a->class_of[values[k]];
        if (a->vector && class == 1)
            to[count++] = k;
        else if (!a->vector && class != LABEL_IGNORED)
            to[count++] = class;
        *passed_over = *passed_over || class == LABEL_IGNORED;
    }
    if (count)
        qsort(to, count, sizeof *to, by_number);
    for (uint32_t k = 0; k < count; k++)
        if (!kept || to[k] != to[kept - 1])
            to[kept++] = to[k];
    return kept;
}

/* Rows get their classes; those whose values are all ignored go, as records_prune does with rows that have none left. */
static void assign_classes(struct reader *r, const struct label_answer *a)
{
    struct records *out = r->out;
    size_t kept = 0;
    const uint32_t *found = r->found;
    uint32_t *to = out->label_numbers = allocate(r->found_count - out->count, sizeof *to);
    for (size_t i = 0; i < out->count; i++) {
        bool passed_over;
        struct record *row = &out->rows[i];
        uint32_t count = classes_of(a, found + 1, *found, to, &passed_over);
        found += 1 + *found;
        if (!count && passed_over) {
            out->without_label++;
            continue;
        }
        if (r->in->multi) {
            row->labels = to;
            row->label_count = count;
            to += count;
        } else {
            row->class = (int32_t)to[0];
        }
        out->rows[kept++] = *row;
        records_walked(out, i + 1);
    }
    out->count = kept;
}

static struct json *describe_reading(const struct reader *r, const struct label_answer *a)
{
    const struct label_values *v = &r->values;
    struct json *reading = json_object();
    json_set_string(reading, "form", a->form);
    json_set_string(reading, "values",
                    r->in->label_columns.count                                     ? "columns"
                    : v->lists >= v->objects && v->lists >= v->scalars && v->lists ? "lists"
                    : v->objects > v->scalars                                      ? "objects"
                                                                                   : "single values");
    json_set(reading, "notes", json_copy(a->notes));
    return reading;
}

int decide_labels(struct reader *r, const char *const *paths, struct error *e)
{
    struct records *out = r->out;
    struct label_answer answer;
    const struct label_question question = {.values = &r->values,
                                            .given = &r->in->labels,
                                            .ignored = &r->in->ignored,
                                            .form = r->in->label_form ? r->in->label_form : "auto",
                                            .paths = paths,
                                            .field = r->in->label ? r->in->label : "columns",
                                            .columns = r->in->label_columns.count > 0};
    if (!has_labels(r->in))
        return 0;
    if (label_form_decide(&answer, &question, e))
        return -1;
    assign_classes(r, &answer);
    out->label_reading = describe_reading(r, &answer);
    out->labels = answer.names;
    out->label_count = answer.count;
    answer.names = NULL;
    answer.count = 0;
    label_answer_free(&answer);
    return 0;
}
