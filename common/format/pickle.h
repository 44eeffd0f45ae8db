/* SPDX-License-Identifier: Apache-2.0 */
/* An unpickler that builds a description of a pickle and executes nothing: calls are kept as (what, arguments), for the
 * caller to understand. Protocol 2, as torch.save writes. Memory stays within a small multiple of the bytes read. */
#pragma once

#include "common/base/error.h"

#include <stddef.h>
#include <stdint.h>

#define PICKLE_LIMIT ((size_t)64 << 20) /* bytes; the pickle of a model of thousands of tensors has less than one MB */

enum pickle_type {
    PICKLE_NONE,
    PICKLE_BOOLEAN,
    PICKLE_INTEGER,
    PICKLE_LONG, /* an integer beyond 64 bits */
    PICKLE_REAL,
    PICKLE_TEXT,
    PICKLE_TUPLE,
    PICKLE_LIST,
    PICKLE_DICT,       /* items: key, value, key, value; an OrderedDict as well */
    PICKLE_GLOBAL,     /* text: "module.name", one of those that the caller allows */
    PICKLE_CALL,       /* items: the global, the tuple of arguments */
    PICKLE_PERSISTENT, /* items: the id */
};

struct pickle_value {
    enum pickle_type type;
    int64_t integer; /* also of a boolean */
    double real;
    const char *text; /* of text and global: inside the bytes or the pickle's memory, not NUL-terminated */
    size_t size;      /* of text */
    struct pickle_value **items;
    size_t count, capacity;
};

struct pickle;

/* Reads one pickle at the start of bytes. `allowed`: NULL-terminated "module.name" list of the globals that may occur.
 * *used: bytes up to and with its STOP; NULL allowed. Anything unknown is ERROR_DATA and named. `bytes` outlive *ret. */
int pickle_read(struct pickle **ret, const void *bytes, size_t size, const char *const *allowed, const char *place, size_t *used,
                struct error *e);
void pickle_destroy(struct pickle **p);
const struct pickle_value *pickle_root(const struct pickle *p);
size_t pickle_persistent_count(const struct pickle *p); /* persistent ids, in the order they came */
const struct pickle_value *pickle_persistent(const struct pickle *p, size_t i);

bool pickle_text_is(const struct pickle_value *v, enum pickle_type type, const char *text);
