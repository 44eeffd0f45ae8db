/* SPDX-License-Identifier: Apache-2.0 */
/* JSON Lines: one object a line, read and parsed one row at a time, out of .gz and .zst too (stream.h). Blank lines, CRLF, a BOM
 * and the NaN and Infinity that Python writes (read as null) are accepted. */
#pragma once

#include "common/base/error.h"
#include "common/json/json.h"

#include <stddef.h>

struct jsonl;
struct stream;

/* encoding as stream_open takes it. */
int jsonl_open(struct jsonl **ret, const char *path, const char *encoding,
               struct error *e); /* ERROR_DATA if missing, no file, or without any row */
/* The same, of a file that goes on after so many lines of another. */
int jsonl_open_after(struct jsonl **ret, const char *path, const char *encoding, size_t lines, struct error *e);
void jsonl_close(struct jsonl **f);

/* 1 with the next row (an object, borrowed until the next call or close) and its line (from 1), 0 at the end, or -1: ERROR_DATA,
 * "path:line:column: what", with *line set where a row is bad. An error leaves the file behind the bad line, so that a caller may
 * go on and count. */
int jsonl_next(struct jsonl *f, const struct json **row, size_t *line, struct error *e);
bool jsonl_failed(const struct jsonl *f); /* the last error was the file's, not a row's: nothing is to be read behind it */
struct json_leniency jsonl_leniency(const struct jsonl *f); /* met in the rows read so far */
const struct stream *jsonl_stream(const struct jsonl *f);   /* borrowed: how far it is read */
