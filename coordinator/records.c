/* Owns the way from a line of the user's file to composed texts and an understood label. */
#include "coordinator/records.h"

#include "common/base/memory.h"
#include "common/base/near.h"
#include "common/base/stop.h"
#include "common/base/table.h"
#include "common/format/table_file.h"
#include "common/text/compose.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LABELS 100000

/* Label values seen so far, before classes are numbered. */
enum label_form { LABELS_UNSEEN, LABELS_INDEX, LABELS_NAME };

struct found_labels {
    bool ignored; /* one was passed over */
    uint32_t count, number[];
};

struct reader {
    const struct input *in;
    struct records *out;
    bool keep_all;
    const char *path;
    uint32_t file, line;
    bool cells;                  /* all values are texts */
    struct table *given;         /* labels that the input names */
    struct table *ignored;       /* and those it passes over */
    struct table *names;         /* of labels, where the input names none */
    enum label_form form;        /* likewise: all rows agree */
    uint32_t index_count;        /* likewise: highest index + 1 */
    struct found_labels **found; /* [rows capacity] */
    size_t found_capacity;
    struct table *seen_fields; /* every key of every row, for "did you mean" */
    struct buffer composed, scratch;
};

#define LABEL_IGNORED UINT32_MAX

static int refuse(struct reader *r, struct error *e, const char *what)
{
    return error_set(e, ERROR_DATA, "%s:%u: %s", r->path, r->line, what);
}

/* Appends the value of a text field to *to as text; *blank tells whether nothing is there. */
static int field_text(struct reader *r, struct buffer *to, bool *blank, const struct json *row, const char *name, struct error *e)
{
    const struct json *value = json_get(row, name);
    size_t start = to->size;
    enum json_type type = value ? json_type(value) : JSON_NULL;
    if (type == JSON_TEXT) {
        buffer_text(to, json_text(value));
    } else if (type == JSON_NUMBER) {
        char *number = json_print(value, false);
        buffer_text(to, number);
        free(number);
    } else if (type == JSON_ARRAY) {
        for (size_t i = 0; i < json_size(value); i++) {
            const char *item = json_text(json_at(value, i));
            if (!item)
                return error_set(e, ERROR_DATA, "%s:%u: field '%s' is a list that holds more than texts; make it a text", r->path,
                                 r->line, name);
            buffer_printf(to, "%s%s", i ? ", " : "", item);
        }
    } else if (type != JSON_NULL) {
        return error_set(e, ERROR_DATA, "%s:%u: field '%s' is %s; a text was expected", r->path, r->line, name,
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
        return error_set(e, ERROR_DATA, "%s:%u: field '%s' is a list; a text or a number was expected", r->path, r->line, name);
    if (field_text(r, &r->scratch, &blank, row, name, e))
        return -1;
    *ret = blank ? NULL : arena_text(r->out->texts, r->scratch.data, r->scratch.size);
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
            (struct field_count){.name = arena_text(r->texts, names->names[i], strlen(names->names[i]))};
    }
}

/* Counts missing fields; *dropped is the first required one that is missing, or NULL. */
static int count_missing(struct reader *r, const struct json *row, struct field_count **dropped, struct error *e)
{
    *dropped = NULL;
    for (size_t i = 0; i < r->out->field_count; i++) {
        struct field_count *f = &r->out->fields[i];
        bool blank;
        buffer_clear(&r->scratch);
        if (field_text(r, &r->scratch, &blank, row, f->name, e))
            return -1;
        f->missing += blank;
        f->present += json_get(row, f->name) != NULL;
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
    if (fields->count > 64)
        return error_set(e, ERROR_USAGE, "data: more than 64 text fields");
    buffer_clear(&r->scratch);
    for (size_t i = 0; i < fields->count; i++) {
        bool blank;
        offsets[i] = r->scratch.size;
        if (field_text(r, &r->scratch, &blank, row, fields->names[i], e))
            return -1;
        buffer_append(&r->scratch, "", 1);
    }
    for (size_t i = 0; i < fields->count; i++)
        texts[i] = r->scratch.data + offsets[i];
    buffer_clear(&r->composed);
    compose_text(&r->composed, texts, fields->count, r->in->joiner);
    *ret = arena_text(r->out->texts, r->composed.data ? r->composed.data : "", r->composed.size);
    return 0;
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
                 r->in->label, value, limit - 1);
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
    snprintf(text, sizeof text, "field '%.40s': label '%.80s' is not one of data.labels%s", r->in->label, name,
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
        *ret = table_add(r->names, arena_text(r->out->texts, name, strlen(name)));
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
    case JSON_TEXT:
        return label_from_name(r, ret, json_text(value), e);
    default:
        return error_set(e, ERROR_DATA, "%s:%u: field '%s' is %s; expected a label's name or index", r->path, r->line,
                         r->in->label, json_type_name(json_type(value)));
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
        if (!json_parse(ret, cell, strlen(cell), r->in->label, e))
            return 0;
        return error_set(e, ERROR_DATA, "%s:%u: field '%s' opens a JSON list or object and is none: %.80s", r->path, r->line,
                         r->in->label, cell);
    }
    struct json *list = json_array();
    for (const char *at = cell, *end; at; at = end ? end + strlen(separator) : NULL) {
        end = r->in->multi ? strstr(at, separator) : NULL;
        size_t size = end ? (size_t)(end - at) : strlen(at);
        while (size > 0 && strchr(" \t\r\n", *at))
            at++, size--;
        while (size > 0 && strchr(" \t\r\n", at[size - 1]))
            size--;
        char *name = format_text("%.*s", (int)size, at);
        if (*name)
            json_append(list, json_of_text(name));
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

/* *ret NULL: the row has no label. */
static int read_label(struct reader *r, struct found_labels **ret, const struct json *row, struct error *e)
{
    const struct json *value = r->in->label ? json_get(row, r->in->label) : NULL;
    const char *text = json_text(value);
    struct json *list = NULL;
    *ret = NULL;
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

static int read_names(struct reader *r, struct record *to, const struct json *row, struct error *e)
{
    char line[32];
    snprintf(line, sizeof line, "%u", r->line);
    const char *fallback = arena_text(r->out->texts, line, strlen(line));
    to->id = to->group = fallback;
    if (r->in->id && field_name(r, &to->id, row, r->in->id, e))
        return -1;
    if (r->in->group && field_name(r, &to->group, row, r->in->group, e))
        return -1;
    if (!to->id || !to->group)
        return error_set(e, ERROR_DATA, "%s:%u: field '%s' (data.%s) is missing or blank; every row needs one", r->path, r->line,
                         to->id ? r->in->group : r->in->id, to->id ? "group" : "id");
    return 0;
}

static int add_row(struct reader *r, const struct json *row, struct error *e)
{
    struct records *out = r->out;
    struct field_count *dropped;
    out->read++;
    for (size_t i = 0; i < json_size(row) && table_count(r->seen_fields) < 1000; i++)
        if (table_find(r->seen_fields, json_key(row, i)) == TABLE_ABSENT)
            table_add(r->seen_fields, arena_text(out->texts, json_key(row, i), strlen(json_key(row, i))));
    if (count_missing(r, row, &dropped, e))
        return -1;
    if (dropped && r->keep_all)
        return error_set(e, ERROR_DATA, "%s:%u: field '%s' is missing or blank; every row to predict needs it", r->path, r->line,
                         dropped->name);
    if (dropped) {
        out->dropped[dropped - out->fields]++;
        return 0;
    }
    struct found_labels *found;
    if (read_label(r, &found, row, e))
        return -1;
    if (!found && r->in->label) {
        out->without_label++;
        return 0;
    }
    struct record new = {.line = r->line, .file = r->file, .class = -1};
    if (read_names(r, &new, row, e) || compose(r, &new.a, row, &r->in->text_a, e) ||
        (r->in->text_b.count && compose(r, &new.b, row, &r->in->text_b, e))) {
        free(found);
        return -1;
    }
    out->rows = grow(out->rows, &out->capacity, out->count + 1, sizeof *out->rows);
    r->found = grow(r->found, &r->found_capacity, out->count + 1, sizeof *r->found);
    out->rows[out->count] = new;
    r->found[out->count++] = found;
    return 0;
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
        if (!r->out->fields[i].present)
            absent = r->out->fields[i].name;
    if (!absent && r->in->label && table_find(r->seen_fields, r->in->label) == TABLE_ABSENT)
        absent = r->in->label;
    char hint[160];
    int result = absent && r->out->read ? error_set(e, ERROR_DATA, "%s: no row has a field '%s', which the job names%s", r->path,
                                                    absent, near_hint(hint, sizeof hint, absent, keys, known))
                                        : 0;
    free(keys);
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

/* Names of the classes: as the input says, or all indexes up to the highest, or the names found, sorted. */
static void name_labels(struct reader *r)
{
    struct records *out = r->out;
    size_t given = r->in->labels.count;
    out->label_count = given ? given : r->form == LABELS_NAME ? table_count(r->names) : r->index_count;
    out->labels = allocate(out->label_count, sizeof *out->labels);
    for (size_t i = 0; i < out->label_count; i++)
        out->labels[i] = given                    ? duplicate(r->in->labels.names[i])
                         : r->form == LABELS_NAME ? duplicate(table_key(r->names, (uint32_t)i))
                                                  : format_text("%zu", i);
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

/* Classes and label lists from the labels found, in the numbering of name_labels. */
static void number_labels(struct reader *r)
{
    struct records *out = r->out;
    struct table *order;
    table_create(&order);
    for (size_t i = 0; i < out->label_count; i++)
        table_add(order, out->labels[i]);
    bool by_table = !r->in->labels.count && r->form == LABELS_NAME;
    size_t total = 0;
    for (size_t i = 0; i < out->count && r->in->label; i++)
        total += r->found[i]->count;
    uint32_t *to = out->label_numbers = allocate(total, sizeof *to);
    for (size_t i = 0; i < out->count && r->in->label; i++) {
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

static int read_file(struct reader *r, struct error *e)
{
    struct table_file *lines = NULL;
    if (table_file_open(&lines, r->path, e))
        return -1;
    r->cells = table_file_has_cells(lines);
    const struct json *row;
    size_t line;
    int result;
    while ((result = table_file_next(lines, &row, &line, e)) > 0) {
        r->line = (uint32_t)line;
        if (add_row(r, row, e) || (r->line % 1024 == 0 && stop_check(e))) {
            result = -1;
            break;
        }
    }
    table_file_close(&lines);
    return result;
}

static void end_reader(struct reader *r)
{
    for (size_t i = 0; i < r->out->count; i++)
        free(r->found[i]);
    free(r->found);
    table_destroy(&r->given);
    table_destroy(&r->ignored);
    table_destroy(&r->names);
    table_destroy(&r->seen_fields);
    buffer_free(&r->composed);
    buffer_free(&r->scratch);
}

static void name_table(struct table **ret, const struct text_fields *names)
{
    table_create(ret);
    for (size_t i = 0; i < names->count; i++)
        table_add(*ret, names->names[i]);
}

int records_read(struct records *ret, const char *const *paths, size_t path_count, const struct input *in, bool keep_all,
                 struct error *e)
{
    struct records out = {0};
    struct reader r = {.in = in, .out = &out, .keep_all = keep_all};
    arena_create(&out.texts);
    table_create(&r.seen_fields);
    table_create(&r.names);
    name_table(&r.given, &in->labels);
    name_table(&r.ignored, &in->ignored);
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
    if (!out.count) {
        error_set(e, ERROR_DATA, "%s: no row is left of %llu: all lack a required field or a label", paths[0],
                  (unsigned long long)out.read);
        goto fail;
    }
    name_labels(&r);
    if (in->label && !out.label_count) {
        error_set(e, ERROR_DATA, "%s: no row has a label in field '%s': all its lists are empty", paths[0], in->label);
        goto fail;
    }
    number_labels(&r);
    end_reader(&r);
    *ret = out;
    return 0;
fail:
    end_reader(&r);
    records_free(&out);
    return -1;
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
    free(r->label_numbers);
    free(r->rows);
    free(r->fields);
    free(r->dropped);
    arena_destroy(&r->texts);
    *r = (struct records){0};
}
