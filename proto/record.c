/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the passage between structures and JSON objects by tables. */
#include "proto/record.h"

#include "common/base/memory.h"

#include <inttypes.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXACT (UINT64_C(1) << 53) /* up to here a JSON number is an exact integer everywhere */

static void *place(const void *record, size_t offset)
{
    return (void *)((uintptr_t)record + offset);
}

static int choice_count(const struct record_field *f)
{
    const char *const *names = f->detail;
    int count = 0;
    while (names[count])
        count++;
    return count;
}

static struct json *of_u64(uint64_t value)
{
    if (value <= EXACT)
        return json_of_number((double)value);
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, value);
    return json_of_string(text);
}

static struct json *of_list(const double *values, uint32_t count)
{
    if (!values)
        return json_null();
    struct json *list = json_array();
    for (uint32_t i = 0; i < count; i++)
        json_append(list, json_of_number(values[i]));
    return list;
}

static struct json *field_to_json(const struct record_field *f, const void *record)
{
    const void *at = place(record, f->offset);
    switch (f->type) {
    case RECORD_STRING:
        return json_of_string(*(const char *const *)at);
    case RECORD_WORD:
        return json_of_string(at);
    case RECORD_CHOICE:
        return json_of_string(((const char *const *)f->detail)[*(const int *)at]);
    case RECORD_BOOLEAN:
        return json_of_boolean(*(const bool *)at);
    case RECORD_INT:
        return json_of_number(*(const int *)at);
    case RECORD_U32:
        return json_of_number(*(const uint32_t *)at);
    case RECORD_U64:
        return of_u64(*(const uint64_t *)at);
    case RECORD_DOUBLE:
        return json_of_number(*(const double *)at);
    case RECORD_LIST:
        return of_list(*(const double *const *)at, *(const uint32_t *)place(record, f->count));
    case RECORD_OBJECT:
        return *(struct json *const *)at ? json_copy(*(struct json *const *)at) : json_null();
    case RECORD_RECORD:
        return record_to_json(f->detail, at);
    }
    return json_null();
}

void record_add(struct json *object, const struct record_field *fields, const void *record)
{
    for (const struct record_field *f = fields; f->name; f++)
        json_set(object, f->name, field_to_json(f, record));
}

struct json *record_to_json(const struct record_field *fields, const void *record)
{
    struct json *object = json_object();
    record_add(object, fields, record);
    return object;
}

static int refuse_type(const struct record_field *f, const char *expected, const struct json *j, struct error *e)
{
    return error_set(e, ERROR_FAILED, "field \"%s\": %s expected, %s found", f->name, expected, json_type_name(json_type(j)));
}

static int read_text(const char **ret, const struct record_field *f, const struct json *j, struct error *e)
{
    const char *text = json_string(j);
    if (!text)
        return refuse_type(f, "a string", j, e);
    size_t size = strlen(text);
    if ((double)size < f->min || (double)size > f->max)
        return error_set(e, ERROR_FAILED, "field \"%s\": a string of %.0f to %.0f bytes expected, %zu found", f->name, f->min,
                         f->max, size);
    *ret = text;
    return 0;
}

static int read_choice(int *ret, const struct record_field *f, const struct json *j, struct error *e)
{
    const char *text = json_string(j);
    if (!text)
        return refuse_type(f, "a name", j, e);
    const char *const *names = f->detail;
    for (int i = 0; i < choice_count(f); i++)
        if (!strcmp(names[i], text)) {
            *ret = i;
            return 0;
        }
    return error_set(e, ERROR_FAILED, "field \"%s\": unknown value \"%.40s\"", f->name, text);
}

static int read_number(double *ret, const struct record_field *f, const struct json *j, struct error *e)
{
    if (json_type(j) == JSON_NULL && f->flags & RECORD_NAN) {
        *ret = NAN;
        return 0;
    }
    if (json_type(j) != JSON_NUMBER)
        return refuse_type(f, "a number", j, e);
    double value = json_number(j);
    if ((f->min != 0 || f->max != 0) && !(value >= f->min && value <= f->max))
        return error_set(e, ERROR_FAILED, "field \"%s\": a number from %g to %g expected, %g found", f->name, f->min, f->max,
                         value);
    *ret = value;
    return 0;
}

static int read_whole(double *ret, const struct record_field *f, double low, double high, const struct json *j, struct error *e)
{
    double value = 0;
    if (read_number(&value, f, j, e))
        return -1;
    if (!(value >= low && value <= high) || value != floor(value))
        return error_set(e, ERROR_FAILED, "field \"%s\": a whole number from %.0f to %.0f expected, %g found", f->name, low, high,
                         value);
    *ret = value;
    return 0;
}

static int read_u64(uint64_t *ret, const struct record_field *f, const struct json *j, struct error *e)
{
    const char *text = json_string(j);
    if (text) { /* only what of_u64 writes: digits, no overflow, more than a number can carry */
        char *end, again[24];
        uint64_t value = strtoull(text, &end, 10);
        snprintf(again, sizeof again, "%" PRIu64, value);
        if (strcmp(again, text) || value <= EXACT || (f->max != 0 && (double)value > f->max))
            return error_set(e, ERROR_FAILED, "field \"%s\": not a whole number: \"%.40s\"", f->name, text);
        *ret = value;
        return 0;
    }
    double value = 0;
    if (read_whole(&value, f, 0, EXACT, j, e))
        return -1;
    *ret = (uint64_t)value;
    return 0;
}

static int read_list(double **ret, const struct record_field *f, uint32_t count, const struct json *j, struct error *e)
{
    if (json_type(j) != JSON_ARRAY)
        return refuse_type(f, "a list", j, e);
    if (json_size(j) != count)
        return error_set(e, ERROR_FAILED, "field \"%s\": %u numbers expected, %zu found", f->name, count, json_size(j));
    double *values = allocate(count, sizeof *values);
    for (uint32_t i = 0; i < count; i++)
        if (read_number(&values[i], f, json_at(j, i), e)) {
            free(values);
            return -1;
        }
    *ret = values;
    return 0;
}

static int store_text(void *at, const struct record_field *f, const struct json *j, struct error *e)
{
    const char *text = NULL;
    if (read_text(&text, f, j, e))
        return -1;
    if (f->type == RECORD_STRING)
        *(char **)at = duplicate(text);
    else
        memcpy(at, text, strlen(text) + 1);
    return 0;
}

static int store_int(int *at, const struct record_field *f, const struct json *j, struct error *e)
{
    double value = 0;
    if (read_whole(&value, f, INT32_MIN, INT32_MAX, j, e))
        return -1;
    *at = (int)value;
    return 0;
}

static int store_u32(uint32_t *at, const struct record_field *f, const struct json *j, struct error *e)
{
    double value = 0;
    if (read_whole(&value, f, 0, UINT32_MAX, j, e))
        return -1;
    *at = (uint32_t)value;
    return 0;
}

static int field_from_json(void *record, const struct record_field *f, const struct json *j, struct error *e)
{
    void *at = place(record, f->offset);
    switch (f->type) {
    case RECORD_STRING:
    case RECORD_WORD:
        return store_text(at, f, j, e);
    case RECORD_CHOICE:
        return read_choice(at, f, j, e);
    case RECORD_BOOLEAN:
        if (json_type(j) != JSON_BOOLEAN)
            return refuse_type(f, "true or false", j, e);
        *(bool *)at = json_boolean(j);
        return 0;
    case RECORD_INT:
        return store_int(at, f, j, e);
    case RECORD_U32:
        return store_u32(at, f, j, e);
    case RECORD_U64:
        return read_u64(at, f, j, e);
    case RECORD_DOUBLE:
        return read_number(at, f, j, e);
    case RECORD_LIST:
        return read_list(at, f, *(const uint32_t *)place(record, f->count), j, e);
    case RECORD_OBJECT:
        if (json_type(j) != JSON_OBJECT)
            return refuse_type(f, "an object", j, e);
        *(struct json **)at = json_copy(j);
        return 0;
    case RECORD_RECORD:
        return record_from_json(at, f->detail, j, NULL, e) ? error_prefix(e, "%s: ", f->name) : 0;
    }
    return 0;
}

static const struct record_field *find_field(const struct record_field *fields, const char *name)
{
    for (const struct record_field *f = fields; f->name; f++)
        if (!strcmp(f->name, name))
            return f;
    return NULL;
}

static int refuse_unknown(const struct record_field *fields, const struct json *j, const char *skip, struct error *e)
{
    for (size_t i = 0; i < json_size(j); i++) {
        const char *key = json_key(j, i);
        if ((!skip || strcmp(key, skip)) && !find_field(fields, key))
            return error_set(e, ERROR_FAILED, "unknown field \"%.40s\"", key);
    }
    return 0;
}

int record_from_json(void *record, const struct record_field *fields, const struct json *j, const char *skip, struct error *e)
{
    if (json_type(j) != JSON_OBJECT)
        return error_set(e, ERROR_FAILED, "an object expected, %s found", json_type_name(json_type(j)));
    if (refuse_unknown(fields, j, skip, e))
        return -1;
    for (const struct record_field *f = fields; f->name; f++) {
        const struct json *value = json_get(j, f->name);
        bool absent = !value || (json_type(value) == JSON_NULL && !(f->flags & RECORD_NAN));
        if (absent && f->flags & RECORD_OPTIONAL)
            continue;
        if (!value) {
            error_set(e, ERROR_FAILED, "field \"%s\" is missing", f->name);
            goto fail;
        }
        if (field_from_json(record, f, value, e))
            goto fail;
    }
    return 0;
fail:
    record_free(fields, record);
    return -1;
}

void record_free(const struct record_field *fields, void *record)
{
    for (const struct record_field *f = fields; f->name; f++) {
        void *at = place(record, f->offset);
        if (f->type == RECORD_STRING || f->type == RECORD_LIST) {
            free(*(void **)at);
            *(void **)at = NULL;
        } else if (f->type == RECORD_OBJECT) {
            json_destroy(at);
        } else if (f->type == RECORD_RECORD) {
            record_free(f->detail, at);
        }
    }
}
