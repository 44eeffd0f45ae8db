/* SPDX-License-Identifier: Apache-2.0 */
/* CSV and TSV: a header line with the columns' names, cells in double quotes where they hold the separator, quotes ("" for one)
 * or line ends (RFC 4180); and the dialects that programs write: any of , ; tab | as the separator, a first line "sep=;" as Excel
 * has it, LF, CRLF, CR CR LF or CR line ends, columns without a name ("Unnamed: 2", as pandas names them, by index from 0),
 * quotes that are plain text. A BOM is skipped. Names and rows are read one at a time, out of .gz and .zst too (stream.h). */
#pragma once

#include "common/base/error.h"
#include "common/json/json.h"

struct csv;
struct stream;

struct csv_options {
    char separator;       /* 0: the one of , ; tab | that gives most rows as many cells as the header */
    bool plain_quotes;    /* data.quotes "none": quotes are text everywhere */
    const char *encoding; /* of the file, as iconv names it; NULL: UTF-8 */
};

struct csv_dialect {
    char separator;
    bool plain_quotes;     /* asked for, or found: a TSV whose lines all have the header's tabs, with quotes that open no cell */
    bool carriage_returns; /* lines end with CR alone */
    uint64_t swallowed;    /* quoted cells so far whose lines would be rows by themselves: a quote that is never closed? */
    size_t swallowed_line; /* of the first of them */
};

/* ERROR_DATA: no file, no header, a name twice, UTF-16 without data.encoding. options NULL: all found. */
int csv_open(struct csv **ret, const char *path, const struct csv_options *options, struct error *e);
void csv_close(struct csv **f);

/* 1 with the next row, an object column -> text (an empty cell is null), borrowed until the next call or close, and the line it
 * starts on (from 1); 0 at the end; or -1: ERROR_DATA "path:line: what" (cells too few or too many, a quote never closed, not
 * UTF-8), behind the bad row, so that a caller may go on and count. Blank lines are skipped. */
int csv_next(struct csv *f, const struct json **row, size_t *line, struct error *e);
bool csv_failed(const struct csv *f); /* the last error was the file's, not a row's: nothing is to be read behind it */
struct csv_dialect csv_dialect(const struct csv *f);
const struct stream *csv_stream(const struct csv *f); /* borrowed: how far it is read */
