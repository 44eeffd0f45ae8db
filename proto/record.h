/* SPDX-License-Identifier: Apache-2.0 */
/* A table of fields says how a C structure and a JSON object become each other; trials, messages and the connection file are
 * such tables. Reading is strict: an unknown, missing, ill-typed or out-of-bounds field is ERROR_FAILED naming it. */
#pragma once

#include "common/json/json.h"

#include <stdbool.h>
#include <stddef.h>

enum record_type {
    RECORD_STRING,  /* char *, owned; min..max bytes */
    RECORD_WORD,    /* char[8]; min..max bytes, max at most 7 */
    RECORD_CHOICE,  /* an enum; names in `detail`, NULL at the end */
    RECORD_BOOLEAN, /* bool */
    RECORD_INT,     /* int */
    RECORD_U32,     /* uint32_t */
    RECORD_U64,     /* uint64_t; beyond 2^53 it travels as decimal text */
    RECORD_DOUBLE,  /* double */
    RECORD_LIST,    /* double *, owned; as many as the uint32_t at `count` says */
    RECORD_OBJECT,  /* struct json *, owned; an object of any contents */
    RECORD_RECORD   /* a structure inside; its table in `detail` */
};

enum record_flags {
    RECORD_OPTIONAL = 1, /* absent or null leaves zero; NULL and zero-length are written as null */
    RECORD_NAN = 2       /* double: not-a-number travels as null */
};

struct record_field {
    const char *name;
    enum record_type type;
    size_t offset;
    unsigned flags;
    double min, max; /* of a number; of a text, its bytes; both 0: a number may be anything */
    const void *detail;
    size_t count; /* RECORD_LIST: offset of its length, which stands earlier in the table */
};

/* Ends with a field without name. */
struct json *record_to_json(const struct record_field *fields, const void *record);
void record_add(struct json *object, const struct record_field *fields, const void *record); /* into an object that exists */
/* record: zeroed by the caller; on failure it is freed and zero where it was touched. `skip`: a key that is somebody else's, or
 * NULL. */
int record_from_json(void *record, const struct record_field *fields, const struct json *j, const char *skip, struct error *e);
void record_free(const struct record_field *fields, void *record);
