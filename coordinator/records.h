/* The user's rows, cleaned: what a row of input says once its fields are composed and its label is understood. */
#pragma once

#include "common/base/arena.h"
#include "common/format/json.h"
#include "coordinator/job.h"

#include <stdint.h>

/* How rows become input; from a job's "data" or a bundle's "input". All borrowed. */
struct input {
    const char *id, *group, *label; /* field names; id, group: NULL = line number; label: NULL = rows carry none */
    struct text_fields text_a, text_b, required, labels;
    const char *joiner;
    bool multi;
};

struct record {
    const char *id, *group, *a, *b; /* b NULL without text_b */
    uint32_t line, file;
    int32_t class;        /* single label; -1: none */
    const float *targets; /* multi-label (labels) */
};

struct field_count {
    const char *name;
    uint64_t missing; /* absent, null, NaN or blank */
    uint64_t present;
};

struct records {
    struct arena *texts;
    struct record *rows;
    size_t count, capacity;
    uint64_t read;              /* rows before cleaning */
    uint64_t without_label;     /* dropped: no label */
    struct field_count *fields; /* of text_a, text_b and required, each once */
    uint64_t *dropped;          /* by required field [field_count]; a row counts for the first one missing */
    size_t field_count;
    char **labels; /* names, by class index */
    size_t label_count;
};

/* Reads all files in order. keep_all (predict): a row without its required text is ERROR_DATA naming the line, never dropped.
 * Refused with path:line: broken JSON, a field of the wrong type, a label that is unknown or out of range, a field no row has. */
int records_read(struct records *ret, const char *const *paths, size_t path_count, const struct input *in, bool keep_all,
                 struct error *e);
void records_free(struct records *r);
