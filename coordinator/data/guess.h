/* SPDX-License-Identifier: Apache-2.0 */
/* Guesses what the fields of somebody's data are for: by their values first, by their names where values leave it open. */
#pragma once

#include "common/base/error.h"
#include "common/format/table_file.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GUESS_ROWS 50000 /* read at most */

struct profile; /* of a field */

struct guess {
    struct profile *fields;
    size_t field_count;
    uint64_t rows;
    bool cells;                 /* CSV or TSV */
    char *format;               /* "CSV", as table_file_format has it */
    struct table_options table; /* how the file is read */
    /* Fields by number; SIZE_MAX: none. */
    size_t id, group, label, part; /* part: says of each row whether it is for training, validation or test */
    size_t unused_part;            /* a column with parts in it that is not `part` */
    char *no_part;                 /* the value of unused_part that is no part; "": rows without a value */
    size_t *columns;               /* of 0 and 1, each a label, where there is no `label`; in order of the file */
    size_t column_count;
    char *pattern;           /* that matches them and nothing else; NULL: none */
    size_t *text_a, *text_b; /* in order of the file */
    size_t a_count, b_count;
    size_t main_a, main_b; /* the longest of each */
    bool multi;
    const char *separator;   /* of labels in a cell; NULL: not needed */
    bool sets;               /* cells with it are sets of labels that stand alone in other cells */
    const char *pair_reason; /* why there are two texts, or why not */
    bool label_named;        /* the label's name says so; else only its values do */
    double foreign;          /* share of letters that are not ASCII */
};

/* label: the field that the user says it is, or NULL. ERROR_DATA: no rows, no text, nothing like a label (fields are listed). */
int guess_fields(struct guess *ret, const char *path, const char *label, struct error *e);
/* "train", "validation" or "test", for the many names that parts have; NULL: none of them. */
const char *guess_part(const char *name);
void guess_free(struct guess *g);
const char *guess_name(const struct guess *g, size_t field); /* NULL for SIZE_MAX */
double guess_words(const struct guess *g, size_t field);     /* mean */
size_t guess_distinct(const struct guess *g, size_t field);  /* different values */
