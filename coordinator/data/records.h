/* SPDX-License-Identifier: Apache-2.0 */
/* The user's rows, cleaned: what a row of input says once its fields are composed and its label is understood. */
#pragma once

#include "common/base/arena.h"
#include "common/base/scratch.h"
#include "common/format/table_file.h"
#include "common/json/json.h"
#include "coordinator/job/job.h"

#include <stdint.h>

/* How rows become input; from a job's "data" or a bundle's "input". All borrowed. */
struct input {
    const char *id, *group, *label;   /* field names; id, group: NULL = line number; label: NULL = rows carry none, or */
    const char *time;                 /* field name; NULL: rows have no time */
    struct text_fields label_columns; /* fields of 0 and 1, each a label; "*" stands for anything */
    struct text_fields text_a, text_b, required, labels;
    struct text_fields ignored;     /* labels that a job has dropped: a row's others count */
    const struct json *word_limits; /* object: text field -> its first words that count; NULL: all of all */
    const char *joiner;
    const char *label_separator; /* in a text of many labels; NULL: ";" */
    const char *label_form;      /* as data.label_form; NULL: "auto" */
    bool multi;
    struct table_options table; /* how files of rows are read */
    /* Of rows that are to be predicted or evaluated: */
    bool id_optional;     /* a row without an id is named by its line */
    bool fields_optional; /* fields that are not required, other than all of text A, may be absent from the whole file */
    bool skip_bad;        /* rows that would be refused are passed over and counted in records.bad */
};

/* As the job says; all borrowed from it. */
struct input input_of_job(const struct job *j);

struct record {
    const char *id, *group, *a, *b; /* b NULL without text_b */
    const uint32_t *labels;         /* multi-label: ascending, label_count of them */
    double time;                    /* as records.time_form says; 0 without */
    uint32_t line, file;
    int32_t class; /* single label; -1: none */
    uint32_t label_count;
};

/* What the values of data.time are: one of the two for all rows. */
enum time_form { TIME_NONE, TIME_DATES /* seconds since 1970 */, TIME_NUMBERS };

struct field_count {
    const char *name;
    uint64_t missing; /* absent, null, NaN or blank */
    uint64_t present;
};

#define BAD_LINES_MOST 10

/* Rows passed over because of an error. */
struct bad_rows {
    uint64_t count;
    uint32_t lines[BAD_LINES_MOST]; /* of the first of them */
    struct error first;
};

struct records {
    struct arena *texts;
    struct record *rows; /* in `row_memory` */
    struct scratch row_memory;
    size_t count;
    uint64_t read; /* rows before cleaning */
    struct bad_rows bad;
    uint64_t without_label;     /* dropped: no label */
    uint64_t rare_only;         /* dropped by records_prune: none of its labels is left */
    uint64_t too_short;         /* likewise: few words */
    bool by_protocol;           /* protocol_select has chosen the rows */
    uint64_t protocol_left_out; /* and dropped so many */
    struct field_count *fields; /* of text_a, text_b and required, each once */
    uint64_t *dropped;          /* by required field [field_count]; a row counts for the first one missing */
    size_t field_count;
    enum time_form time_form;
    char **labels; /* names, by class index */
    size_t label_count;
    struct json *label_reading; /* {form, values, notes}: how label values were read; NULL without labels */
    uint32_t *label_numbers;    /* memory of the rows' labels */
    char **dropped_labels;      /* by records_prune */
    size_t dropped_label_count;
    struct json *files; /* list of {path, format, and what table_notes has that is not 0} */
};

/* Reads all files (JSON Lines, CSV, TSV) in order. In CSV and TSV a label is a name or an index, many are separated, or a JSON
 * list. In label columns 0, null or nothing means that the row lacks the label. keep_all (predict): a row without its required
 * text is ERROR_DATA naming the line, never dropped. Refused with path:line: broken JSON, a field of the wrong type, a label that
 * is unknown or out of range, a field no row has. */
int records_read(struct records *ret, const char *const *paths, size_t path_count, const struct input *in, bool keep_all,
                 struct error *e);
/* Drops, in this order (W5): labels that fewer than min_count rows have, rows that had labels and have none left, rows of fewer
 * than min_words words (texts A and B together); 0: none. Classes are numbered anew. ERROR_DATA: nothing is left. */
int records_prune(struct records *r, uint32_t min_count, uint32_t min_words, struct error *e);
/* Texts A and B (NULL without text_b) of one row that comes by itself: what records_read with keep_all makes of it. Caller frees.
 * ERROR_DATA names the field: of a wrong type, missing, or none of text A is there. */
int record_compose(char **a, char **b, const struct input *in, const struct json *row, struct error *e);
void records_free(struct records *r);
/* What lies in temporary files need not stay resident for now; any thread, whoever reads meanwhile. */
void records_rest(const struct records *r);
/* The same each so many calls, for who looks at single rows all over: *looks counts them, from 0. */
void records_looked_at(const struct records *r, size_t *looks);
/* The same now and then, for who walks all rows in order and has done those before `end`. */
void records_walked(const struct records *r, size_t end);
uint32_t text_words(const char *composed); /* NULL has none */
