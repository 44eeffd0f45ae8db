/* SPDX-License-Identifier: Apache-2.0 */
#include "common/format/json_rows.h"

#include "common/base/memory.h"
#include "common/format/stream.h"

#include <stdlib.h>
#include <string.h>

enum shape { SHAPE_NONE, SHAPE_RECORDS, SHAPE_COLUMNS, SHAPE_INDEX, SHAPE_SPLIT };

struct json_rows {
    char *path;
    struct json *root;
    struct json_leniency met;
    enum shape shape;
    const struct json *table; /* the list or object that holds the rows */
    size_t at, count;
    struct json *row; /* made of columns */
};

static bool all_of(const struct json *j, enum json_type type)
{
    for (size_t i = 0; i < json_size(j); i++)
        if (json_type(json_at(j, i)) != type)
            return false;
    return json_size(j) > 0;
}

static bool keys_are_numbers(const struct json *object)
{
    for (size_t i = 0; i < json_size(object); i++) {
        const char *key = json_key(object, i);
        if (!*key || key[strspn(key, "0123456789")])
            return false;
    }
    return json_size(object) > 0;
}

static bool same_size(const struct json *lists)
{
    for (size_t i = 1; i < json_size(lists); i++)
        if (json_size(json_at(lists, i)) != json_size(json_at(lists, 0)))
            return false;
    return true;
}

/* The one member that is a list of objects. */
static const struct json *only_list(const struct json *object)
{
    const struct json *found = NULL;
    for (size_t i = 0; i < json_size(object); i++) {
        const struct json *member = json_at(object, i);
        if (json_type(member) != JSON_ARRAY || !all_of(member, JSON_OBJECT))
            continue;
        if (found)
            return NULL;
        found = member;
    }
    return found;
}

static void find_shape(struct json_rows *r)
{
    const struct json *j = r->root, *data = json_get(j, "data"), *list;
    r->table = j;
    if (json_type(j) == JSON_ARRAY) {
        r->shape = SHAPE_RECORDS;
    } else if (all_of(json_get(j, "columns"), JSON_STRING) && all_of(data, JSON_ARRAY)) {
        r->shape = SHAPE_SPLIT;
        r->table = data;
    } else if ((list = only_list(j))) {
        r->shape = SHAPE_RECORDS;
        r->table = list;
    } else if (all_of(j, JSON_OBJECT) && (keys_are_numbers(j) || (keys_are_numbers(json_at(j, 0)) && same_size(j)))) {
        r->shape = keys_are_numbers(j) ? SHAPE_INDEX : SHAPE_COLUMNS;
    } else if (all_of(j, JSON_ARRAY) && json_size(j) > 1 && same_size(j)) {
        r->shape = SHAPE_COLUMNS;
    }
    r->count = json_size(r->shape == SHAPE_COLUMNS ? json_at(r->table, 0) : r->table);
}

/* An object of one line may be the only row of JSON Lines. */
static bool is_one_line(const char *text, size_t size)
{
    while (size > 0 && strchr(" \t\r\n", text[size - 1]) && text[size - 1])
        size--;
    return !memchr(text, '\n', size);
}

static int read_all(struct json_rows *r, bool *one_line, const char *encoding, struct error *e)
{
    struct stream *s;
    size_t size;
    int more;
    if (stream_open(&s, r->path, encoding, e))
        return -1;
    while ((more = stream_more(s, e)) > 0)
        ;
    const char *text = stream_data(s, &size);
    *one_line = is_one_line(text, size);
    int result = more < 0 ? -1 : json_parse_rows(&r->root, text, size, r->path, 1, &r->met, e);
    stream_close(&s);
    return result;
}

int json_rows_open(struct json_rows **ret, bool *is_table, const char *path, const char *encoding, struct error *e)
{
    struct json_rows *r = allocate(1, sizeof *r);
    struct error broken;
    bool one_line;
    r->path = duplicate(path);
    *ret = NULL;
    bool read = read_all(r, &one_line, encoding, &broken) == 0;
    if (read)
        find_shape(r);
    *is_table = read && r->shape != SHAPE_NONE;
    if (*is_table) {
        *ret = r;
        return 0;
    }
    json_rows_close(&r);
    return read && !one_line
               ? error_set(e, ERROR_DATA,
                           "%s: is one JSON object and no table; JSON Lines, a list of objects, or columns of equal "
                           "length are expected",
                           path)
               : 0;
}

void json_rows_close(struct json_rows **rows)
{
    struct json_rows *r = rows ? *rows : NULL;
    if (!r)
        return;
    json_destroy(&r->row);
    json_destroy(&r->root);
    free(r->path);
    free(r);
    *rows = NULL;
}

/* A row of a table that is held by columns, or whose names stand apart. */
static int make_row(struct json_rows *r, struct error *e)
{
    const struct json *names = r->shape == SHAPE_SPLIT ? json_get(r->root, "columns") : NULL;
    const struct json *cells = names ? json_at(r->table, r->at) : NULL;
    if (names && json_size(cells) != json_size(names))
        return error_set(e, ERROR_DATA, "%s:%zu: the row has %zu cells, \"columns\" names %zu", r->path, r->at + 1,
                         json_size(cells), json_size(names));
    r->row = json_object();
    for (size_t i = 0; names && i < json_size(names); i++)
        json_set(r->row, json_string(json_at(names, i)), json_copy(json_at(cells, i)));
    for (size_t i = 0; !names && i < json_size(r->table); i++)
        json_set(r->row, json_key(r->table, i), json_copy(json_at(json_at(r->table, i), r->at)));
    return 0;
}

int json_rows_next(struct json_rows *r, const struct json **row, size_t *number, struct error *e)
{
    json_destroy(&r->row);
    if (r->at == r->count)
        return 0;
    bool made = r->shape == SHAPE_COLUMNS || r->shape == SHAPE_SPLIT;
    if (made && make_row(r, e)) {
        *number = ++r->at;
        return -1;
    }
    *row = made ? r->row : json_at(r->table, r->at);
    *number = ++r->at;
    if (json_type(*row) != JSON_OBJECT)
        return error_set(e, ERROR_DATA, "%s:%zu: a row is %s; an object is expected, as in {\"text\": \"...\", \"label\": 1}",
                         r->path, *number, json_type_name(json_type(*row)));
    return 1;
}

struct json_leniency json_rows_leniency(const struct json_rows *r)
{
    return r->met;
}
