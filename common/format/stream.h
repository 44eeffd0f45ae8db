/* SPDX-License-Identifier: Apache-2.0 */
/* A file's bytes from front to back, through a window that moves: as they are, or out of gzip or Zstandard, which is told by the
 * first bytes, not by the name. Memory: the window, which grows to the longest piece that a reader has not taken yet (1 GiB at
 * most), whatever the size of the file. */
#pragma once

#include "common/base/error.h"

#include <stdbool.h>
#include <stddef.h>

struct stream;

/* A pipe, a device or standard input ("-") can be read once, but who finds out its format reads several times: it is read to its
 * end into a temporary file (of TMPDIR, without a name), and until stream_unspool stream_open takes `path` for that. One at a
 * time; not for several threads. Waits for whoever writes. ERROR_DATA: cannot be read; ERROR_FAILED: no room. Polls stop_check.
 */
int stream_spool(const char *path, struct error *e);
/* The same with what is in memory, and with what is there already and the rest of standard input behind it. */
int stream_spool_bytes(const char *bytes, size_t size, bool rest, struct error *e);
void stream_unspool(void);
#define STREAM_STANDARD_INPUT "-"
/* Whether `path` has to be spooled. */
bool stream_needs_spool(const char *path);

/* encoding: what the file's text is in, by a name that iconv knows; it is handed on as UTF-8. NULL or "utf-8": as it is.
 * ERROR_DATA: missing, not a file, named .gz but is not, a known kind of file that is no text (file_kind.h). ERROR_USAGE: an
 * unknown encoding. */
int stream_open(struct stream **ret, const char *path, const char *encoding, struct error *e);
void stream_close(struct stream **s);

/* What is read and not taken yet; borrowed until the next call of stream_more. */
const char *stream_data(const struct stream *s, size_t *size);
void stream_take(struct stream *s, size_t size);
/* Reads on: 1 with a longer window, 0 at the end, -1: ERROR_DATA "path: ..." (damaged, cut off, a piece too long). */
int stream_more(struct stream *s, struct error *e);
/* The next line without its line feed, taken (and borrowed until stream_more or the next line): 1, 0 at the end, or -1. */
int stream_line(struct stream *s, const char **line, size_t *size, struct error *e);

/* Of the file's bytes on disk: what is read so far, and all. Any thread. */
size_t stream_position(const struct stream *s);
size_t stream_size(const struct stream *s);

/* `path` without .gz or .zst ends here: "rows.csv.gz" gives 8. */
size_t stream_name_size(const char *path);
