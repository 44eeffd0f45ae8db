/* SPDX-License-Identifier: Apache-2.0 */
/* JSON; the sole owner of cJSON. Strict (RFC 8259): the whole text is one value, valid UTF-8, no repeated keys, no \u0000, at
 * most 64 deep. Errors say "place:line:column: what". A node inside a document is borrowed and lives until the document's root is
 * destroyed. Numbers print in the shortest form that reads back the same. */
#pragma once

#include "common/base/error.h"

#include <stddef.h>
#include <stdint.h>

struct json;
enum json_type { JSON_NULL, JSON_BOOLEAN, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

int json_parse(struct json **ret, const char *text, size_t size, const char *place, struct error *e); /* ERROR_DATA */
/* What data files have that the strict reading refuses, and how often it was met; added to. */
struct json_leniency {
    uint64_t repeated_keys; /* the last value holds */
    uint64_t nuls;          /* \u0000, read as U+FFFD */
    uint64_t surrogates;    /* half a surrogate pair, likewise */
    uint64_t nans;          /* NaN, Infinity and -Infinity, read as null */
};
/* Rows of a data file, as Python's json reads them, `line` the number of the first line: as json_parse, but with `met`, and NaN,
 * Infinity, -Infinity and overflows are null. */
int json_parse_rows(struct json **ret, const char *text, size_t size, const char *place, size_t line, struct json_leniency *met,
                    struct error *e);
int json_read(struct json **ret, const char *path, struct error *e);
/* As json_read, of files that are passed on to other programs: a number written with a point or an exponent prints with a
 * point, 2.0 and not 2, since to some of these only the former is a float. */
int json_read_as_written(struct json **ret, const char *path, struct error *e);
void json_destroy(struct json **j);

enum json_type json_type(const struct json *j);
const char *json_type_name(enum json_type type);                          /* "a number", "a list", ... for messages */
size_t json_size(const struct json *j);                                   /* of an array or object, else 0 */
const struct json *json_at(const struct json *array_or_object, size_t i); /* NULL beyond the end; O(1) */
const char *json_key(const struct json *object, size_t i);
const struct json *json_get(const struct json *object, const char *key);   /* NULL if absent or not an object; O(log n) */
const struct json *json_given(const struct json *object, const char *key); /* likewise, and NULL for null */
double json_number(const struct json *j);                                  /* 0 unless a number */
bool json_boolean(const struct json *j);                                   /* false unless true */
const char *json_string(const struct json *j);                             /* NULL unless a text */

struct json *json_object(void);
struct json *json_array(void);
struct json *json_null(void);
struct json *json_of_string(const char *text); /* NULL gives null; bytes that are not UTF-8 become U+FFFD */
struct json *json_of_number(double value);     /* NaN and infinities give null */
struct json *json_of_float(double value);      /* likewise; prints with a point, as json_read_as_written */
struct json *json_of_boolean(bool value);
struct json *json_copy(const struct json *j);
/* These consume `value`; json_set replaces an existing key in place; each returns `value`, now borrowed. */
struct json *json_set(struct json *object, const char *key, struct json *value);
struct json *json_append(struct json *array, struct json *value);
void json_set_string(struct json *object, const char *key, const char *text);
void json_set_number(struct json *object, const char *key, double value);
void json_set_boolean(struct json *object, const char *key, bool value);

char *json_print(const struct json *j, bool pretty);                     /* caller frees */
int json_write(const char *path, const struct json *j, struct error *e); /* pretty, newline at the end, atomic */
