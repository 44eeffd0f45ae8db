/* SPDX-License-Identifier: Apache-2.0 */
#include "common/format/jsonl.h"

#include "common/base/memory.h"
#include "common/format/rows_ahead.h"
#include "common/format/stream.h"

#include <stdlib.h>
#include <string.h>

struct jsonl {
    char *path;
    struct stream *stream;
    size_t line;       /* the last one read, from 1 */
    const char *first; /* line, read by open */
    size_t first_size;
    struct rows_ahead *ahead;
    struct json_leniency met; /* in the rows handed out */
    bool failed;
};

static bool is_blank(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\r'))
        p++;
    return p == end;
}

/* The next line with something on it, without its line feed: 1, 0 at the end, or -1. */
static int next_line(struct jsonl *f, const char **start, size_t *size, struct error *e)
{
    int more;
    while ((more = stream_line(f->stream, start, size, e)) > 0) {
        if (f->line++ == 0 && *size >= 3 && !memcmp(*start, "\xef\xbb\xbf", 3)) {
            *start += 3;
            *size -= 3;
        }
        if (!is_blank(*start, *start + *size))
            return 1;
    }
    return more;
}

static int take_line(void *context, struct buffer *to, struct row_met *met, struct error *e)
{
    struct jsonl *f = context;
    const char *start = f->first;
    size_t size = f->first_size;
    int more = start ? 1 : next_line(f, &start, &size, e);
    f->first = NULL;
    met->failed = more < 0;
    met->line = f->line;
    if (more > 0)
        buffer_append(to, start, size);
    return more;
}

static int parse_line(void *context, struct json **ret, const char *bytes, size_t size, struct row_met *met, struct error *e)
{
    const struct jsonl *f = context;
    struct json *row;
    if (json_parse_rows(&row, bytes, size, f->path, met->line, &met->met, e))
        return -1;
    enum json_type type = json_type(row);
    if (type != JSON_OBJECT) {
        json_destroy(&row);
        return error_set(e, ERROR_DATA, "%s:%zu:1: a row is %s; an object is expected, as in {\"text\": \"...\", \"label\": 1}",
                         f->path, met->line, json_type_name(type));
    }
    *ret = row;
    return 0;
}

int jsonl_open(struct jsonl **ret, const char *path, const char *encoding, struct error *e)
{
    return jsonl_open_after(ret, path, encoding, 0, e);
}

int jsonl_open_after(struct jsonl **ret, const char *path, const char *encoding, size_t lines, struct error *e)
{
    struct jsonl *f = allocate(1, sizeof *f);
    f->line = lines;
    f->path = duplicate(path);
    if (stream_open(&f->stream, path, encoding, e))
        goto fail;
    int more = next_line(f, &f->first, &f->first_size, e);
    if (more == 0)
        error_set(e, ERROR_DATA, "%s: %s; one JSON object a line is expected", path,
                  f->line ? "has only blank lines" : "is empty");
    if (more <= 0)
        goto fail;
    rows_ahead_create(&f->ahead, &(struct rows_source){take_line, parse_line, f});
    *ret = f;
    return 0;
fail:
    jsonl_close(&f);
    return -1;
}

void jsonl_close(struct jsonl **file)
{
    struct jsonl *f = file ? *file : NULL;
    if (!f)
        return;
    rows_ahead_destroy(&f->ahead);
    stream_close(&f->stream);
    free(f->path);
    free(f);
    *file = NULL;
}

int jsonl_next(struct jsonl *f, const struct json **row, size_t *line, struct error *e)
{
    struct row_met met = {0};
    int more = rows_ahead_next(f->ahead, row, &met, e);
    f->failed = met.failed;
    f->met.repeated_keys += met.met.repeated_keys;
    f->met.nuls += met.met.nuls;
    f->met.surrogates += met.met.surrogates;
    f->met.nans += met.met.nans;
    if (met.line > 0 && !met.failed)
        *line = met.line;
    return more;
}

bool jsonl_failed(const struct jsonl *f)
{
    return f->failed;
}

struct json_leniency jsonl_leniency(const struct jsonl *f)
{
    return f->met;
}

const struct stream *jsonl_stream(const struct jsonl *f)
{
    return f->stream;
}
