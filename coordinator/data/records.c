/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/date.h"
#include "common/base/memory.h"
#include "common/base/meter.h"
#include "common/base/near.h"
#include "common/base/stop.h"
#include "common/base/table.h"
#include "common/format/table_file.h"
#include "common/text/compose.h"
#include "coordinator/data/record_reader.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIELDS_REMEMBERED 10000          /* for "did you mean": rows may each have fields of their own */
#define LARGEST_EXACT 9007199254740991.0 /* 2^53 - 1 */

/* Appends the value of a text field to *to as text; *blank tells whether nothing is there. */
static int field_text(struct reader *r, struct buffer *to, bool *blank, const struct json *row, const char *name, struct error *e)
{
    const struct json *value = json_get(row, name);
    size_t start = to->size;
    enum json_type type = value ? json_type(value) : JSON_NULL;
    if (type == JSON_STRING) {
        buffer_text(to, json_string(value));
    } else if (type == JSON_NUMBER) {
        char *number = json_print(value, false);
        buffer_text(to, number);
        free(number);
    } else if (type == JSON_ARRAY) {
        for (size_t i = 0; i < json_size(value); i++) {
            const char *item = json_string(json_at(value, i));
            if (!item)
                return error_set(e, ERROR_DATA, "%s:%u: field '%s' is a list with items that are not strings; make it a string",
                                 r->path, r->line, name);
            buffer_printf(to, "%s%s", i ? ", " : "", item);
        }
    } else if (type != JSON_NULL) {
        return error_set(e, ERROR_DATA, "%s:%u: field '%s' is %s; a string was expected", r->path, r->line, name,
                         json_type_name(type));
    }
    if (to->size == start)
        buffer_append(to, "", 0);
    *blank = text_is_blank(to->data + start);
    return 0;
}

/* A field that names something (id, group): text or number, never blank. *ret is NULL where it is missing. */
static int field_name(struct reader *r, const char **ret, const struct json *row, const char *name, struct error *e)
{
    bool blank;
    buffer_clear(&r->scratch);
    const struct json *value = json_get(row, name);
    if (value && json_type(value) == JSON_ARRAY)
        return error_set(e, ERROR_DATA, "%s:%u: field '%s' is a list; a string or a number was expected", r->path, r->line, name);
    if (value && json_type(value) == JSON_NUMBER && fabs(json_number(value)) > LARGEST_EXACT)
        return error_set(e, ERROR_DATA,
                         "%s:%u: field '%s' is a number above 2^53, where JSON numbers are not exact; put it in quotes", r->path,
                         r->line, name);
    if (field_text(r, &r->scratch, &blank, row, name, e))
        return -1;
    *ret = blank ? NULL : arena_string(r->out->texts, r->scratch.data, r->scratch.size);
    return 0;
}

static struct field_count *field_named(struct records *r, const char *name)
{
    for (size_t i = 0; i < r->field_count; i++)
        if (!strcmp(r->fields[i].name, name))
            return &r->fields[i];
    return NULL;
}

static void add_fields(struct records *r, const struct text_fields *names)
{
    for (size_t i = 0; i < names->count; i++) {
        if (field_named(r, names->names[i]))
            continue;
        r->fields = reallocate(r->fields, r->field_count + 1, sizeof *r->fields);
        r->fields[r->field_count++] =
            (struct field_count){.name = arena_string(r->texts, names->names[i], strlen(names->names[i]))};
    }
}

/* Counts missing fields; *dropped is the first required one that is missing, or NULL. */
static int count_missing(struct reader *r, const struct json *row, struct field_count **dropped, struct error *e)
{
    *dropped = NULL;
    for (size_t i = 0; i < r->out->field_count; i++) {
        struct field_count *f = &r->out->fields[i];
        const struct json *value = json_get(row, f->name);
        bool blank = !value;
        buffer_clear(&r->scratch);
        if (json_type(value) == JSON_STRING)
            blank = text_is_blank(json_string(value));
        else if (value && field_text(r, &r->scratch, &blank, row, f->name, e))
            return -1;
        f->missing += blank;
        f->present += value != NULL;
        for (size_t k = 0; blank && !*dropped && k < r->in->required.count; k++)
            if (!strcmp(r->in->required.names[k], f->name))
                *dropped = f;
    }
    return 0;
}

static int compose(struct reader *r, const char **ret, const struct json *row, const struct text_fields *fields, struct error *e)
{
    const char *texts[64];
    size_t offsets[64];
    uint32_t words[64];
    if (fields->count > 64)
        return error_set(e, ERROR_USAGE, "data: a text is joined from more than 64 fields; name fewer");
    buffer_clear(&r->scratch);
    for (size_t i = 0; i < fields->count; i++) {
        bool blank;
        offsets[i] = r->scratch.size;
        words[i] = (uint32_t)json_number(json_get(r->in->word_limits, fields->names[i]));
        if (field_text(r, &r->scratch, &blank, row, fields->names[i], e))
            return -1;
        buffer_append(&r->scratch, "", 1);
    }
    for (size_t i = 0; i < fields->count; i++)
        texts[i] = r->scratch.data + offsets[i];
    buffer_clear(&r->composed);
    compose_text(&r->composed, texts, fields->count, words, r->in->joiner);
    *ret = arena_string(r->out->texts, r->composed.data ? r->composed.data : "", r->composed.size);
    return 0;
}

static int read_names(struct reader *r, struct record *to, const struct json *row, struct error *e)
{
    char line[32];
    if (r->file > 0) /* ids differ between files too */
        snprintf(line, sizeof line, "%u:%u", r->file + 1, r->line);
    else
        snprintf(line, sizeof line, "%u", r->line);
    if (r->in->id && field_name(r, &to->id, row, r->in->id, e))
        return -1;
    if (r->in->group && field_name(r, &to->group, row, r->in->group, e))
        return -1;
    const bool by_line = !r->in->id || (!to->id && r->in->id_optional);
    const char *place = by_line || !r->in->group ? arena_string(r->out->texts, line, strlen(line)) : NULL;
    to->id = by_line ? place : to->id;
    to->group = r->in->group ? to->group : place;
    if (!to->id || !to->group)
        return error_set(e, ERROR_DATA, "%s:%u: field '%s' (data.%s) is missing or blank; every row needs one", r->path, r->line,
                         to->id ? r->in->group : r->in->id, to->id ? "group" : "id");
    return 0;
}

/* A number: digits of which not a few are taken as a date. */
static bool is_number(double *value, const char *text)
{
    char *end;
    *value = strtod(text, &end);
    return end != text && !end[strspn(end, " \t\r\n")] && isfinite(*value) && !strpbrk(text, "xXpP");
}

static int read_time(struct reader *r, struct record *to, const struct json *row, struct error *e)
{
    static const char *const forms[] = {"nothing", "a date", "a number"};
    bool blank;
    buffer_clear(&r->scratch);
    if (!r->in->time)
        return 0;
    if (field_text(r, &r->scratch, &blank, row, r->in->time, e))
        return -1;
    if (blank)
        return error_set(e, ERROR_DATA,
                         "%s:%u: field '%s' (data.time) is missing or blank; data.required drops and counts rows without it",
                         r->path, r->line, r->in->time);
    const char *text = r->scratch.data;
    enum time_form form = is_number(&to->time, text) ? TIME_NUMBERS : date_read(&to->time, text) ? TIME_DATES : TIME_NONE;
    if (form == TIME_NONE)
        return error_set(e, ERROR_DATA,
                         "%s:%u: field '%s' (data.time) is \"%.60s\"; a date of ISO 8601 (2026-11-22, 2026-11-22T04:01:48Z) or a "
                         "number is expected",
                         r->path, r->line, r->in->time, text);
    if (r->out->time_form != TIME_NONE && r->out->time_form != form)
        return error_set(e, ERROR_DATA,
                         "%s:%u: field '%s' (data.time) is %s (\"%.60s\"), in the rows before %s; write all in one form", r->path,
                         r->line, r->in->time, forms[form], text, forms[r->out->time_form]);
    r->out->time_form = form;
    return 0;
}

static void keep_row(struct reader *r, const struct record *row, const struct row_labels *labels)
{
    struct records *out = r->out;
    size_t capacity = out->row_memory.size / sizeof *out->rows, values = labels ? labels->count : 0;
    if (out->count == capacity) {
        scratch_resize(&out->row_memory, (capacity ? 2 * capacity : 64) * sizeof *out->rows);
        out->rows = out->row_memory.data;
    }
    out->rows[out->count++] = *row;
    records_walked(out, out->count);
    r->found = grow(r->found, &r->found_capacity, r->found_count + 1 + values, sizeof *r->found);
    r->found[r->found_count++] = (uint32_t)values;
    for (size_t k = 0; k < values; k++)
        r->found[r->found_count++] = labels->value[k];
}

/* Most rows have the keys of the first one, in its order. */
static void note_keys(struct reader *r, const struct json *row)
{
    for (size_t i = 0; i < json_size(row) && table_count(r->seen_fields) < FIELDS_REMEMBERED; i++) {
        const char *key = json_key(row, i);
        bool expected = i < table_count(r->seen_fields) && !strcmp(table_key(r->seen_fields, (uint32_t)i), key);
        if (!expected && table_find(r->seen_fields, key) == TABLE_ABSENT)
            table_add(r->seen_fields, arena_string(r->out->texts, key, strlen(key)));
    }
}

static int add_row(struct reader *r, const struct json *row, struct error *e)
{
    struct records *out = r->out;
    struct field_count *dropped;
    out->read++;
    note_keys(r, row);
    r->label_present |= r->in->label && json_get(row, r->in->label);
    if (count_missing(r, row, &dropped, e))
        return -1;
    if (dropped && r->keep_all)
        return error_set(e, ERROR_DATA, "%s:%u: field '%s' is missing or blank; every row to predict needs it%s", r->path,
                         r->line, dropped->name, json_get(row, dropped->name) ? "" : " (--field reads it from another)");
    if (dropped) {
        out->dropped[dropped - out->fields]++;
        return 0;
    }
    struct row_labels *found;
    if (read_label(r, &found, row, e))
        return -1;
    if (!found && has_labels(r->in)) {
        out->without_label++;
        return 0;
    }
    struct record new = {.line = r->line, .file = r->file, .class = -1};
    if (read_names(r, &new, row, e) || read_time(r, &new, row, e) || compose(r, &new.a, row, &r->in->text_a, e) ||
        (r->in->text_b.count && compose(r, &new.b, row, &r->in->text_b, e))) {
        free(found);
        return -1;
    }
    keep_row(r, &new, found);
    free(found);
    return 0;
}

static bool is_named(const struct text_fields *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++)
        if (!strcmp(names->names[i], name))
            return true;
    return false;
}

/* Without any field of text A there is nothing to predict. */
static bool may_be_absent(const struct reader *r, const char *name)
{
    if (!r->in->fields_optional || is_named(&r->in->required, name))
        return false;
    bool has_a = !is_named(&r->in->text_a, name);
    for (size_t i = 0; i < r->out->field_count && !has_a; i++)
        has_a = r->out->fields[i].present && is_named(&r->in->text_a, r->out->fields[i].name);
    return has_a;
}

/* A field that no row of the input has is a mistake in the job file, not missing data. */
static int check_fields(struct reader *r, struct error *e)
{
    size_t known = table_count(r->seen_fields);
    const char **keys = allocate(known, sizeof *keys);
    for (size_t i = 0; i < known; i++)
        keys[i] = table_key(r->seen_fields, (uint32_t)i);
    const char *absent = NULL;
    for (size_t i = 0; i < r->out->field_count && !absent; i++)
        if (!r->out->fields[i].present && !may_be_absent(r, r->out->fields[i].name))
            absent = r->out->fields[i].name;
    if (!absent && r->in->label && !r->label_present)
        absent = r->in->label;
    for (size_t i = 0; i < r->in->label_columns.count && !absent; i++)
        absent = r->column_found[i] ? NULL : r->in->label_columns.names[i];
    char hint[160];
    int result = absent && r->out->read
                     ? error_set(e, ERROR_DATA, "%s: no row has a field '%s', which the %s names%s", r->path, absent,
                                 r->in->fields_optional ? "bundle" : "job", near_hint(hint, sizeof hint, absent, keys, known))
                     : 0;
    free(keys);
    return result;
}

static void note_count(struct json *file, const char *key, uint64_t count)
{
    if (count > 0)
        json_set_number(file, key, (double)count);
}

static void note_file(struct reader *r, const struct table_file *lines)
{
    const struct table_notes notes = table_file_notes(lines);
    struct json *file = json_append(r->out->files, json_object());
    json_set_string(file, "path", r->path);
    json_set_string(file, "format", table_file_format(lines));
    note_count(file, "repeated_keys", notes.json.repeated_keys);
    note_count(file, "nul_characters", notes.json.nuls);
    note_count(file, "lone_surrogates", notes.json.surrogates);
    note_count(file, "nan_values", notes.json.nans);
    note_count(file, "swallowed_lines", notes.swallowed);
    note_count(file, "first_swallowed_line", notes.swallowed_line);
}

/* Whether a row's error is only counted. */
static bool pass_over(struct reader *r, const struct error *e)
{
    struct bad_rows *bad = &r->out->bad;
    if (!r->in->skip_bad || e->kind != ERROR_DATA)
        return false;
    if (bad->count == 0)
        bad->first = *e;
    if (bad->count < BAD_LINES_MOST)
        bad->lines[bad->count] = r->line;
    bad->count++;
    return true;
}

/* 1, 0 at the end, -1. */
static int read_row(struct reader *r, struct table_file *lines, struct error *e)
{
    const struct json *row;
    size_t line = r->line;
    int more = table_file_next(lines, &row, &line, e);
    r->line = (uint32_t)line;
    if (more < 0)
        return !table_file_failed(lines) && pass_over(r, e) ? 1 : -1;
    return more > 0 && add_row(r, row, e) && !pass_over(r, e) ? -1 : more;
}

#define MEGABYTE 1000000

static int read_rows(struct reader *r, struct table_file *lines, struct error *e)
{
    struct meter meter;
    size_t done, all;
    int result;
    table_file_progress(lines, &done, &all);
    meter_begin(&meter, "reading", "MB", all / MEGABYTE);
    while ((result = read_row(r, lines, e)) > 0)
        if (r->line % 1024 == 0) {
            if (stop_check(e))
                return -1;
            table_file_progress(lines, &done, &all);
            meter_set(&meter, done / MEGABYTE);
        }
    return result;
}

static int read_file(struct reader *r, struct error *e)
{
    struct table_file *lines = NULL;
    if (table_file_open(&lines, r->path, &r->in->table, e))
        return -1;
    r->cells = table_file_has_cells(lines);
    r->line = 0;
    int result = read_rows(r, lines, e);
    if (!result)
        note_file(r, lines);
    table_file_close(&lines);
    return result;
}

static void end_reader(struct reader *r)
{
    free(r->found);
    free(r->column_found);
    label_values_free(&r->values);
    table_destroy(&r->seen_fields);
    buffer_free(&r->composed);
    buffer_free(&r->scratch);
}

struct input input_of_job(const struct job *j)
{
    return (struct input){.id = j->data.id,
                          .group = j->data.group,
                          .label = j->data.label,
                          .time = j->data.time,
                          .label_columns = j->data.label_columns,
                          .text_a = j->data.text_a,
                          .text_b = j->data.text_b,
                          .required = j->data.required,
                          .labels = j->data.labels,
                          .word_limits = j->data.word_limits,
                          .joiner = j->data.joiner,
                          .label_separator = j->data.label_separator,
                          .label_form = j->data.label_form,
                          .multi = j->multi,
                          .table = {.plain_quotes = strcmp(j->data.quotes, "none") == 0, .encoding = j->data.encoding}};
}

static int check_not_empty(const struct reader *r, const char *path, struct error *e)
{
    const struct records *out = r->out;
    if (!out->count)
        return error_set(e, ERROR_DATA, "%s: no row is left: all labels are among those that are passed over", path);
    if (has_labels(r->in) && !out->label_count)
        return error_set(e, ERROR_DATA, "%s: no row has a label in field '%s': all its lists are empty", path,
                         r->in->label ? r->in->label : r->in->label_columns.names[0]);
    return 0;
}

int records_read(struct records *ret, const char *const *paths, size_t path_count, const struct input *in, bool keep_all,
                 struct error *e)
{
    struct records out = {.files = json_array()};
    struct reader r = {.in = in, .out = &out, .keep_all = keep_all};
    arena_create(&out.texts);
    table_create(&r.seen_fields);
    label_values_create(&r.values);
    r.column_found = allocate(in->label_columns.count, sizeof *r.column_found);
    add_fields(&out, &in->text_a);
    add_fields(&out, &in->text_b);
    add_fields(&out, &in->required);
    out.dropped = allocate(out.field_count, sizeof *out.dropped);
    for (size_t i = 0; i < path_count; i++) {
        r.path = paths[i];
        r.file = (uint32_t)i;
        if (read_file(&r, e) || check_fields(&r, e))
            goto fail;
    }
    if (!out.count && in->table.chunk) { /* of a stream that goes on */
        end_reader(&r);
        *ret = out;
        return 0;
    }
    if (!out.count && out.bad.count) {
        error_set(e, ERROR_DATA, "%s: no row is left: %llu are bad; the first: %s", paths[0], (unsigned long long)out.bad.count,
                  out.bad.first.message);
        goto fail;
    }
    if (!out.count) {
        error_set(
            e, ERROR_DATA,
            "%s: none of the %llu rows can be used: each lacks a required field or a label; check data.required and data.label",
            paths[0], (unsigned long long)out.read);
        goto fail;
    }
    if (decide_labels(&r, paths, e) || check_not_empty(&r, paths[0], e))
        goto fail;
    end_reader(&r);
    *ret = out;
    return 0;
fail:
    end_reader(&r);
    records_free(&out);
    return -1;
}

/* Without the place, which says nothing of a row that comes by itself. */
static void drop_place(struct error *e, const char *place)
{
    size_t size = strlen(place);
    if (!strncmp(e->message, place, size))
        memmove(e->message, e->message + size, strlen(e->message + size) + 1);
}

static int compose_alone(struct reader *r, char **a, char **b, const struct json *row, struct error *e)
{
    struct field_count *dropped;
    const char *one = NULL, *two = NULL;
    if (count_missing(r, row, &dropped, e))
        return -1;
    if (dropped)
        return error_set(e, ERROR_DATA, "field '%s' is missing or blank", dropped->name);
    bool any = false;
    for (size_t i = 0; i < r->in->text_a.count; i++)
        any = any || json_get(row, r->in->text_a.names[i]);
    if (!any)
        return error_set(e, ERROR_DATA, "field '%s' is missing", r->in->text_a.names[0]);
    if (compose(r, &one, row, &r->in->text_a, e) || (r->in->text_b.count && compose(r, &two, row, &r->in->text_b, e)))
        return -1;
    *a = duplicate(one);
    *b = duplicate(two);
    return 0;
}

int record_compose(char **a, char **b, const struct input *in, const struct json *row, struct error *e)
{
    struct records out = {0};
    struct reader r = {.in = in, .out = &out, .keep_all = true, .path = "row", .line = 1};
    arena_create(&out.texts);
    add_fields(&out, &in->text_a);
    add_fields(&out, &in->text_b);
    add_fields(&out, &in->required);
    int result = compose_alone(&r, a, b, row, e);
    if (result)
        drop_place(e, "row:1: ");
    buffer_free(&r.composed);
    buffer_free(&r.scratch);
    records_free(&out);
    return result;
}

static void free_names(char **names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    free(names);
}

void records_free(struct records *r)
{
    free_names(r->labels, r->label_count);
    free_names(r->dropped_labels, r->dropped_label_count);
    json_destroy(&r->files);
    json_destroy(&r->label_reading);
    free(r->label_numbers);
    scratch_free(&r->row_memory);
    free(r->fields);
    free(r->dropped);
    arena_destroy(&r->texts);
    *r = (struct records){0};
}
