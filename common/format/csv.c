/* SPDX-License-Identifier: Apache-2.0 */
#include "common/format/csv.h"

#include "common/base/buffer.h"
#include "common/base/memory.h"
#include "common/base/table.h"
#include "common/format/csv_dialect.h"
#include "common/format/rows_ahead.h"
#include "common/format/stream.h"
#include "common/text/utf8.h"

#include <stdlib.h>
#include <string.h>

#define COLUMNS_MOST 100000

struct csv {
    char *path;
    struct csv_dialect dialect;
    struct stream *stream;
    size_t line;         /* that the next row starts on */
    struct buffer bytes; /* of the row's cells, each with a NUL behind */
    size_t *starts, cells, capacity;
    char **names;
    size_t columns;
    bool swallows; /* the record just read holds what would be rows */
    bool failed;   /* taking records */
    struct rows_ahead *ahead;
    struct {
        uint64_t swallowed;
        size_t swallowed_line;
        bool failed;
    } handed; /* in the rows handed out */
};

/* A walk over the stream's window that makes it longer where it ends. */
struct cursor {
    struct stream *stream;
    const char *data;
    size_t at, size;
    bool failed;
};

/* The byte at the cursor, or -1 at the end or on failure. */
static int peek(struct cursor *c, struct error *e)
{
    if (c->at == c->size && !c->failed) {
        c->failed = stream_more(c->stream, e) < 0;
        c->data = stream_data(c->stream, &c->size);
    }
    return c->at < c->size && !c->failed ? (unsigned char)c->data[c->at] : -1;
}

static int refuse(const struct csv *f, size_t line, const char *what, struct error *e)
{
    return error_set(e, ERROR_DATA, "%s:%zu: %s", f->path, line, what);
}

static char line_end(const struct csv *f)
{
    return f->dialect.carriage_returns ? '\r' : '\n';
}

/* Any number of CR before an LF belong to it. */
static bool ends_line(const struct csv *f, struct cursor *c, struct error *e)
{
    size_t start = c->at;
    int byte;
    while ((byte = peek(c, e)) == '\r' && !f->dialect.carriage_returns)
        c->at++;
    bool ends = byte == line_end(f) || byte < 0;
    if (!ends)
        c->at = start;
    return ends;
}

/* The inside of a quoted cell; the cursor is behind the first quote and ends behind the last. */
static int read_quoted(struct csv *f, struct cursor *c, size_t *feeds, struct error *e)
{
    for (;;) {
        if (peek(c, e) < 0) {
            f->failed = true; /* all that is left of the file stands in the cell */
            return c->failed
                       ? -1
                       : refuse(f, f->line + *feeds,
                                "a cell's quote is never closed; if quotes are plain text here, set data.quotes to \"none\"", e);
        }
        const char *start = c->data + c->at, *quote = memchr(start, '"', c->size - c->at);
        size_t run = quote ? (size_t)(quote - start) : c->size - c->at;
        for (const char *p = start; (p = memchr(p, line_end(f), (size_t)(start + run - p))); p++)
            ++*feeds;
        buffer_append(&f->bytes, start, run);
        c->at += run;
        if (!quote)
            continue;
        c->at++;
        if (peek(c, e) != '"')
            return c->failed ? -1 : 0;
        buffer_append(&f->bytes, "\"", 1);
        c->at++;
    }
}

static void read_plain(struct csv *f, struct cursor *c, struct error *e)
{
    const char end = line_end(f), separator = f->dialect.separator;
    int byte;
    while ((byte = peek(c, e)) >= 0 && byte != separator && !ends_line(f, c, e)) {
        size_t start = c->at++;
        while (c->at < c->size && c->data[c->at] != separator && c->data[c->at] != '\r' && c->data[c->at] != end)
            c->at++;
        buffer_append(&f->bytes, c->data + start, c->at - start);
    }
}

/* Behind a damaged stream nothing is a row. */
static int give_up(struct csv *f)
{
    size_t size;
    stream_data(f->stream, &size);
    stream_take(f->stream, size);
    f->failed = true;
    return -1;
}

/* Behind a refused row: on to the next line. */
static int skip_line(struct csv *f, struct cursor *c, size_t feeds)
{
    struct error ignored;
    int byte;
    if (c->failed)
        return give_up(f);
    while ((byte = peek(c, &ignored)) >= 0 && byte != line_end(f))
        c->at++;
    c->at += c->at < c->size;
    stream_take(f->stream, c->at);
    f->line += feeds + 1;
    return -1;
}

/* The cells of a record. */
struct cells {
    const char *starts; /* (count) size_t, anywhere in memory */
    const char *bytes;  /* (size) */
    size_t count, size;
};

static struct cells cells_of(const struct csv *f)
{
    return (struct cells){(const char *)f->starts, f->bytes.data, f->cells, f->bytes.size};
}

static size_t cell_start(const struct cells *c, size_t i)
{
    size_t start;
    memcpy(&start, c->starts + i * sizeof start, sizeof start);
    return start;
}

static const char *cell(const struct cells *c, size_t i)
{
    return c->bytes + cell_start(c, i);
}

/* A NUL in the data cuts a cell off. */
static size_t cell_size(const struct cells *c, size_t i)
{
    return (i + 1 < c->count ? cell_start(c, i + 1) : c->size) - cell_start(c, i) - 1;
}

static size_t count_byte(const char *data, size_t size, char byte)
{
    size_t count = 0;
    for (const char *p = data; (p = memchr(p, byte, (size_t)(data + size - p))); p++)
        count++;
    return count;
}

/* Whether cell k of the record just read holds lines that would be rows by themselves: the first with the cells before it, the
 * last with those behind it. */
static bool swallows_rows(const struct csv *f, const struct cells *c, size_t k)
{
    const char *line = cell(c, k), *end = line + cell_size(c, k), *feed;
    size_t lines = 0;
    for (size_t others = k; (feed = memchr(line, line_end(f), (size_t)(end - line))); line = feed + 1, others = 0, lines++)
        if (others + count_byte(line, (size_t)(feed - line), f->dialect.separator) + 1 != f->columns)
            return false;
    return lines > 0 && count_byte(line, (size_t)(end - line), f->dialect.separator) + c->count - k == f->columns;
}

static bool swallows_any(const struct csv *f)
{
    const struct cells c = cells_of(f);
    bool found = false;
    for (size_t k = 0; k < c.count && f->columns > 1 && !found; k++)
        found = swallows_rows(f, &c, k);
    return found;
}

/* Adds a cell, up to its separator or line end. Refused (-1): the rest of the line has been skipped. */
static int read_cell(struct csv *f, struct cursor *c, size_t *feeds, struct error *e)
{
    f->starts = grow(f->starts, &f->capacity, f->cells + 1, sizeof *f->starts);
    f->starts[f->cells++] = f->bytes.size;
    if (peek(c, e) != '"' || f->dialect.plain_quotes) {
        read_plain(f, c, e);
    } else {
        c->at++;
        if (read_quoted(f, c, feeds, e))
            return skip_line(f, c, *feeds);
        if (peek(c, e) != f->dialect.separator && !ends_line(f, c, e) && !c->failed) {
            refuse(f, f->line + *feeds,
                   "text behind a cell's closing quote; a quote inside a cell is written twice, or set data.quotes to \"none\"",
                   e);
            return skip_line(f, c, *feeds);
        }
    }
    buffer_append(&f->bytes, "", 1);
    return c->failed ? give_up(f) : 0;
}

/* One record into f->bytes and f->starts: 1, 0 at the end, -1. */
static int read_record(struct csv *f, size_t *line, struct error *e)
{
    struct cursor c = {.stream = f->stream};
    size_t feeds = 0;
    c.data = stream_data(f->stream, &c.size);
    buffer_clear(&f->bytes);
    f->cells = 0;
    *line = f->line;
    if (peek(&c, e) < 0)
        return c.failed ? give_up(f) : 0;
    for (;;) {
        int result = read_cell(f, &c, &feeds, e);
        if (result)
            return result;
        if (peek(&c, e) != f->dialect.separator)
            break;
        if (f->cells == COLUMNS_MOST) {
            refuse(f, f->line, "more than 100000 cells", e);
            return skip_line(f, &c, feeds);
        }
        c.at++;
    }
    f->swallows = feeds > 0 && swallows_any(f);
    c.at += peek(&c, e) >= 0; /* the line end */
    stream_take(f->stream, c.at);
    f->line += feeds + 1;
    return c.failed ? give_up(f) : 1;
}

static bool is_blank_line(const struct csv *f)
{
    const struct cells c = cells_of(f);
    return c.count == 1 && !cell_size(&c, 0);
}

/* Records with something in them. */
static int next_record(struct csv *f, size_t *line, struct error *e)
{
    int more;
    while ((more = read_record(f, line, e)) > 0 && is_blank_line(f))
        ;
    return more;
}

static int check_text(const struct csv *f, const struct cells *c, size_t line, struct error *e)
{
    for (size_t i = 0; i < c->count; i++) {
        bool zero = memchr(cell(c, i), 0, cell_size(c, i)) != NULL;
        if (!zero && utf8_is_valid(cell(c, i), cell_size(c, i)))
            continue;
        return error_set(e, ERROR_DATA, "%s:%zu: cell %zu is not valid UTF-8%s", f->path, line, i + 1,
                         zero ? " (it has a zero byte); set data.encoding to \"utf-16le\" if that is what the file is"
                              : "; set data.encoding to the file's own (\"cp1252\" of Windows, \"latin1\"), or save it as UTF-8");
    }
    return 0;
}

static char *trimmed(const char *name)
{
    while (*name == ' ')
        name++;
    char *copy = duplicate(name);
    for (size_t n = strlen(copy); n > 0 && copy[n - 1] == ' '; n--)
        copy[n - 1] = 0;
    return copy;
}

static int name_columns(struct csv *f, const struct cells *c, size_t line, struct error *e)
{
    struct table *seen;
    int result = 0;
    table_create(&seen);
    f->names = allocate(c->count, sizeof *f->names);
    for (; f->columns < c->count && !result; f->columns++) {
        char *name = trimmed(cell(c, f->columns));
        if (!*name) {
            free(name);
            name = format_string("Unnamed: %zu", f->columns);
        }
        f->names[f->columns] = name;
        if (table_add(seen, name) != f->columns)
            result =
                error_set(e, ERROR_DATA, "%s:%zu: the header has the column \"%.100s\" twice; rename one", f->path, line, name);
    }
    table_destroy(&seen);
    return result;
}

/* "sep=;" as Excel's first line. */
static void take_separator_line(struct csv *f)
{
    size_t size;
    const char *data = stream_data(f->stream, &size);
    if (size < 6 || memcmp(data, "sep=", 4) || !strchr("\r\n", data[5]) || !data[5])
        return;
    f->dialect.separator = data[4];
    stream_take(f->stream, data[5] == '\r' && size > 6 && data[6] == '\n' ? 7 : 6);
    f->line = 2;
}

/* What the first bytes tell of the dialect; the options say the rest. */
static int find_dialect(struct csv *f, struct error *e)
{
    size_t size;
    if (stream_more(f->stream, e) < 0)
        return -1;
    const char *data = stream_data(f->stream, &size);
    if (size >= 2 && (!memcmp(data, "\xff\xfe", 2) || !memcmp(data, "\xfe\xff", 2)))
        return error_set(e, ERROR_DATA, "%s: is UTF-16; set data.encoding to \"utf-16\", or save it as UTF-8", f->path);
    if (size >= 3 && !memcmp(data, "\xef\xbb\xbf", 3))
        stream_take(f->stream, 3);
    take_separator_line(f);
    data = stream_data(f->stream, &size);
    f->dialect.carriage_returns = memchr(data, '\r', size) && !memchr(data, '\n', size);
    if (!f->dialect.separator)
        f->dialect.separator = csv_find_separator(data, size, line_end(f));
    return 0;
}

static int read_header(struct csv *f, struct error *e)
{
    size_t line;
    if (find_dialect(f, e))
        return -1;
    int more = next_record(f, &line, e);
    if (more == 0)
        return error_set(e, ERROR_DATA, "%s: is empty; a header line with the columns' names is expected", f->path);
    const struct cells c = cells_of(f);
    return more < 0 || check_text(f, &c, line, e) ? -1 : name_columns(f, &c, line, e);
}

/* A record as rows_ahead keeps it: the number of its cells, where they start, their bytes. */
static int take_row(void *context, struct buffer *to, struct row_met *met, struct error *e)
{
    struct csv *f = context;
    int more = next_record(f, &met->line, e);
    met->failed = f->failed;
    if (more <= 0)
        return more;
    met->swallowed = f->swallows;
    buffer_append(to, &f->cells, sizeof f->cells);
    buffer_append(to, f->starts, f->cells * sizeof *f->starts);
    buffer_append(to, f->bytes.data, f->bytes.size);
    return 1;
}

static int parse_row(void *context, struct json **ret, const char *bytes, size_t size, struct row_met *met, struct error *e)
{
    const struct csv *f = context;
    struct cells c = {.starts = bytes + sizeof c.count};
    memcpy(&c.count, bytes, sizeof c.count);
    c.bytes = c.starts + c.count * sizeof *f->starts;
    c.size = size - (size_t)(c.bytes - bytes);
    if (c.count != f->columns)
        return error_set(
            e, ERROR_DATA, "%s:%zu: the row has %zu cells, the header %zu columns; put cells that hold '%s' in quotes", f->path,
            met->line, c.count, f->columns, f->dialect.separator == '\t' ? "tab" : (char[2]){f->dialect.separator, 0});
    if (check_text(f, &c, met->line, e))
        return -1;
    struct json *row = json_object();
    for (size_t i = 0; i < f->columns; i++)
        json_set(row, f->names[i], cell_size(&c, i) ? json_of_string(cell(&c, i)) : json_null());
    *ret = row;
    return 0;
}

int csv_open(struct csv **ret, const char *path, const struct csv_options *options, struct error *e)
{
    const struct csv_options o = options ? *options : (struct csv_options){0};
    struct csv *f = allocate(1, sizeof *f);
    f->path = duplicate(path);
    f->dialect.separator = o.separator;
    f->dialect.plain_quotes = o.plain_quotes;
    f->line = 1;
    if (!o.plain_quotes && o.separator == '\t' && csv_find_plain_quotes(&f->dialect.plain_quotes, path, &o, e))
        goto fail;
    if (stream_open(&f->stream, path, o.encoding, e) || read_header(f, e))
        goto fail;
    rows_ahead_create(&f->ahead, &(struct rows_source){take_row, parse_row, f});
    *ret = f;
    return 0;
fail:
    csv_close(&f);
    return -1;
}

void csv_close(struct csv **file)
{
    struct csv *f = file ? *file : NULL;
    if (!f)
        return;
    rows_ahead_destroy(&f->ahead);
    for (size_t i = 0; i < f->columns; i++)
        free(f->names[i]);
    free(f->names);
    free(f->starts);
    buffer_free(&f->bytes);
    stream_close(&f->stream);
    free(f->path);
    free(f);
    *file = NULL;
}

int csv_next(struct csv *f, const struct json **row, size_t *line, struct error *e)
{
    struct row_met met = {0};
    int more = rows_ahead_next(f->ahead, row, &met, e);
    f->handed.failed = met.failed;
    if (met.line > 0)
        *line = met.line;
    if (met.swallowed && f->handed.swallowed++ == 0)
        f->handed.swallowed_line = met.line;
    return more;
}

bool csv_failed(const struct csv *f)
{
    return f->handed.failed;
}

struct csv_dialect csv_dialect(const struct csv *f)
{
    struct csv_dialect d = f->dialect;
    d.swallowed = f->handed.swallowed;
    d.swallowed_line = f->handed.swallowed_line;
    return d;
}

const struct stream *csv_stream(const struct csv *f)
{
    return f->stream;
}
