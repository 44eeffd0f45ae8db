/* SPDX-License-Identifier: Apache-2.0 */
/* A file of rows, whatever its format: JSON Lines, one JSON document, CSV or TSV, each as it is or as .gz or .zst. The format is
 * told by the name (.jsonl .ndjson .json, .csv, .tsv .tab, before .gz or .zst), for other names by the first line; JSON is read
 * as one document (json_rows.h) where it begins with a list, or is an object that holds a table. */
#pragma once

#include "common/base/error.h"
#include "common/format/csv.h"
#include "common/json/json.h"

struct table_file;

struct table_options {
    bool plain_quotes;    /* data.quotes "none": quotes in CSV and TSV are text */
    const char *encoding; /* data.encoding; NULL: UTF-8 */
    bool chunk;           /* it is a chunk of JSON Lines, which may be without a good row */
    size_t lines_before;  /* that are before it */
};

/* What was read and could be read in another way: to be told. */
struct table_notes {
    struct json_leniency json;
    uint64_t swallowed; /* quoted cells whose lines would be rows by themselves */
    size_t swallowed_line;
};

/* options NULL: the defaults. Errors as those of csv_open, jsonl_open, json_rows_open. */
int table_file_open(struct table_file **ret, const char *path, const struct table_options *options, struct error *e);
void table_file_close(struct table_file **f);
/* As jsonl_next and csv_next: a row is an object, borrowed until the next call or close. *line: of one JSON document the row's
 * number. */
int table_file_next(struct table_file *f, const struct json **row, size_t *line, struct error *e);
/* After an error: it was the file's (damaged, cut off, a quote never closed), so that nothing is to be read behind it; else it
 * was the one row's on *line, and the next call goes on behind it. */
bool table_file_failed(const struct table_file *f);
bool table_file_has_cells(const struct table_file *f); /* CSV, TSV: all values are texts, and lists are texts too */
/* "JSON Lines", "JSON", "CSV", "TSV"; and where it is not the plain form, how it differs: "CSV (separator ';', CR line ends)". */
const char *table_file_format(const struct table_file *f);
struct table_notes table_file_notes(const struct table_file *f); /* of the rows read so far */

/* Bytes of the file that are read, ahead of the rows handed out, and all of them; 0 and 0 of one JSON document. */
void table_file_progress(const struct table_file *f, size_t *read, size_t *all);

/* NULL: UTF-8, as far as the first 64 MB say; "utf-16" by its byte order mark; "cp1252" where that reads what UTF-8 does not. A
 * file that cannot be read is NULL: whoever opens it says why. */
const char *table_file_guess_encoding(const char *path);
