/* CSV and TSV as RFC 4180 has them: a header line with the columns' names, cells in double quotes where they hold the separator,
 * quotes ("" for one) or line feeds; LF or CRLF; a BOM is skipped. Names and rows are read one at a time, out of .gz and .zst too
 * (stream.h). */
#pragma once

#include "common/base/error.h"
#include "common/json/json.h"

struct csv;

/* separator 0: a comma, or the semicolon or tab that the header has in place of it. ERROR_DATA: no file, no header, a name twice,
 * UTF-16. */
int csv_open(struct csv **ret, const char *path, char separator, struct error *e);
void csv_close(struct csv **f);

/* 1 with the next row, an object column -> text (an empty cell is null), borrowed until the next call or close, and the line it
 * starts on (from 1); 0 at the end; or -1: ERROR_DATA "path:line: what" (cells too few or too many, a quote never closed, not
 * UTF-8), behind the bad row, so that a caller may go on and count. Blank lines are skipped. */
int csv_next(struct csv *f, const struct json **row, size_t *line, struct error *e);
char csv_separator(const struct csv *f);
