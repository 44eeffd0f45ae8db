/* SPDX-License-Identifier: Apache-2.0 */
/* The label values of a job's rows as they stand in its files, whatever the format: texts without the blanks around them, so that
 * JSON Lines, CSV and lists of the same rows give the same values. What they mean is decided once all are seen (label_form.h). */
#pragma once

#include "common/base/table.h"
#include "common/json/json.h"

#include <stdint.h>

#define LABEL_VALUES_MOST 100000

/* A value, by number in the order they were met. */
struct label_value {
    bool numeric;        /* reads as a number */
    bool boolean;        /* true or false in any case of letters */
    double number;       /* of a boolean 1 or 0 */
    uint32_t file, line; /* where it was first met */
};

struct label_values {
    struct table *texts; /* by number */
    struct label_value *values;
    size_t capacity;
    uint64_t trimmed;                 /* values that had blanks around them */
    uint64_t scalars, lists, objects; /* rows by shape; empty lists count */
    size_t list_size;                 /* of the first list that is not empty */
    bool sizes_differ;                /* some list that is not empty is of another size */
    bool repeats;                     /* some list holds a value twice */
};

/* The values of a row that it has. */
struct row_labels {
    uint32_t file, line;
    bool list;
    uint32_t count, value[];
};

struct label_place {
    const char *path, *field;
    uint32_t file, line;
};

void label_values_create(struct label_values *v);
void label_values_free(struct label_values *v);
const char *label_text(const struct label_values *v, uint32_t value);
size_t label_values_count(const struct label_values *v);
/* The number of a value; UINT32_MAX with ERROR_DATA where there are more than LABEL_VALUES_MOST. */
uint32_t label_values_add(struct label_values *v, const char *text, const struct label_place *at, struct error *e);

/* `value` of a label field: a text, number or boolean; with `multi` also a list of them, an object value -> 0, 1 or null, and as
 * a text: a list in JSON's, Python's or NumPy's form, or values with `separator` between them. *ret NULL: it says nothing (null
 * or blank). Caller frees. ERROR_DATA "path:line: field ...". */
int row_labels_read(struct row_labels **ret, struct label_values *v, const struct json *value, bool multi, const char *separator,
                    const struct label_place *at, struct error *e);
