/* SPDX-License-Identifier: Apache-2.0 */
#include "common/format/table_file.h"

#include "common/base/buffer.h"
#include "common/base/memory.h"
#include "common/format/csv.h"
#include "common/format/json_rows.h"
#include "common/format/jsonl.h"
#include "common/format/stream.h"
#include "common/text/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum format { FORMAT_JSON_LINES, FORMAT_JSON, FORMAT_CSV, FORMAT_TSV };

static const struct {
    const char *suffix;
    enum format format;
} suffixes[] = {{".jsonl", FORMAT_JSON_LINES}, {".ndjson", FORMAT_JSON_LINES}, {".json", FORMAT_JSON_LINES},
                {".csv", FORMAT_CSV},          {".tsv", FORMAT_TSV},           {".tab", FORMAT_TSV}};

static const char *const format_names[] = {"JSON Lines", "JSON", "CSV", "TSV"};

struct table_file {
    enum format format;
    struct jsonl *lines; /* one of the three */
    struct json_rows *document;
    struct csv *csv;
    char *description;
};

static bool has_separator(const char *line, size_t size)
{
    return memchr(line, ',', size) || memchr(line, ';', size) || memchr(line, '|', size);
}

/* By the first line: a brace opens JSON; else what would separate a header's names. */
static int format_by_content(enum format *ret, const char *path, const char *encoding, struct error *e)
{
    struct stream *s;
    const char *line = "";
    size_t size = 0;
    if (stream_open(&s, path, encoding, e))
        return -1;
    int more = stream_line(s, &line, &size, e);
    if (more >= 0) {
        size_t at = size >= 3 && !memcmp(line, "\xef\xbb\xbf", 3) ? 3 : 0;
        while (at < size && strchr(" \t\r", line[at]) && line[at])
            at++;
        bool json = at == size || line[at] == '{' || line[at] == '[';
        *ret = json                        ? FORMAT_JSON_LINES
               : memchr(line, '\t', size)  ? FORMAT_TSV
               : has_separator(line, size) ? FORMAT_CSV
                                           : FORMAT_JSON_LINES;
    }
    stream_close(&s);
    return more < 0 ? -1 : 0;
}

static int find_format(enum format *ret, const char *path, const char *encoding, struct error *e)
{
    size_t size = stream_name_size(path);
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        size_t n = strlen(suffixes[i].suffix);
        if (size > n && !strncasecmp(path + size - n, suffixes[i].suffix, n)) {
            *ret = suffixes[i].format;
            return 0;
        }
    }
    return format_by_content(ret, path, encoding, e);
}

static bool is_blank(const char *line, size_t size)
{
    size_t at = 0;
    while (at < size && (line[at] == ' ' || line[at] == '\t' || line[at] == '\r'))
        at++;
    return at == size;
}

/* Whether a file of JSON may be one document: it begins with a list, or its first line is no whole object, or is alone. */
static int may_be_document(bool *ret, const char *path, const char *encoding, struct error *e)
{
    struct stream *s;
    struct json *first = NULL;
    struct json_leniency ignored = {0};
    struct error broken;
    const char *line;
    size_t size;
    int more;
    *ret = false;
    if (stream_open(&s, path, encoding, e))
        return -1;
    do {
        more = stream_line(s, &line, &size, e);
    } while (more > 0 && is_blank(line, size));
    if (more > 0) {
        *ret = json_parse_rows(&first, line, size, path, 1, &ignored, &broken) || json_type(first) == JSON_ARRAY;
        json_destroy(&first);
        if (!*ret)
            *ret = (more = stream_line(s, &line, &size, e)) == 0;
    }
    stream_close(&s);
    return more < 0 ? -1 : 0;
}

static int open_json(struct table_file *f, const char *path, const char *encoding, struct error *e)
{
    bool document;
    if (may_be_document(&document, path, encoding, e))
        return -1;
    if (document && json_rows_open(&f->document, &document, path, encoding, e))
        return -1;
    f->format = document ? FORMAT_JSON : FORMAT_JSON_LINES;
    return document ? 0 : jsonl_open(&f->lines, path, encoding, e);
}

static int open_csv(struct table_file *f, const char *path, const struct table_options *o, struct error *e)
{
    const struct csv_options csv = {
        .separator = f->format == FORMAT_TSV ? '\t' : 0, .plain_quotes = o->plain_quotes, .encoding = o->encoding};
    return csv_open(&f->csv, path, &csv, e);
}

static void note_dialect(struct buffer *b, bool differs, const char *what)
{
    if (differs)
        buffer_printf(b, "%s%s", b->size ? ", " : " (", what);
}

static char *describe(const struct table_file *f, const struct table_options *o)
{
    struct buffer b = {0};
    const struct csv_dialect d = f->csv ? csv_dialect(f->csv) : (struct csv_dialect){.separator = ','};
    char separator[] = "separator ';'", encoding[128];
    separator[11] = d.separator;
    snprintf(encoding, sizeof encoding, "encoding %.100s", o->encoding ? o->encoding : "");
    note_dialect(&b, d.separator != ',' && d.separator != '\t', separator);
    note_dialect(&b, d.separator == '\t' && f->format == FORMAT_CSV, "separator tab");
    note_dialect(&b, d.carriage_returns, "CR line ends");
    note_dialect(&b, d.plain_quotes, "quotes are text");
    note_dialect(&b, o->encoding != NULL, encoding);
    char *text = format_string("%s%s%s", format_names[f->format], b.size ? b.data : "", b.size ? ")" : "");
    buffer_free(&b);
    return text;
}

int table_file_open(struct table_file **ret, const char *path, const struct table_options *options, struct error *e)
{
    const struct table_options o = options ? *options : (struct table_options){0};
    struct table_file f = {0};
    if (!o.chunk && find_format(&f.format, path, o.encoding, e))
        return -1;
    if (o.chunk)
        f.format = FORMAT_JSON_LINES;
    if (o.chunk                         ? jsonl_open_after(&f.lines, path, o.encoding, o.lines_before, e)
        : f.format == FORMAT_JSON_LINES ? open_json(&f, path, o.encoding, e)
                                        : open_csv(&f, path, &o, e))
        return -1;
    f.description = describe(&f, &o);
    *ret = allocate(1, sizeof f);
    **ret = f;
    return 0;
}

void table_file_close(struct table_file **f)
{
    if (!f || !*f)
        return;
    jsonl_close(&(*f)->lines);
    json_rows_close(&(*f)->document);
    csv_close(&(*f)->csv);
    free((*f)->description);
    free(*f);
    *f = NULL;
}

int table_file_next(struct table_file *f, const struct json **row, size_t *line, struct error *e)
{
    return f->lines      ? jsonl_next(f->lines, row, line, e)
           : f->document ? json_rows_next(f->document, row, line, e)
                         : csv_next(f->csv, row, line, e);
}

bool table_file_failed(const struct table_file *f)
{
    return f->lines ? jsonl_failed(f->lines) : f->csv && csv_failed(f->csv);
}

bool table_file_has_cells(const struct table_file *f)
{
    return f->csv != NULL;
}

const char *table_file_format(const struct table_file *f)
{
    return f->description;
}

struct table_notes table_file_notes(const struct table_file *f)
{
    struct table_notes notes = {0};
    if (f->lines)
        notes.json = jsonl_leniency(f->lines);
    if (f->document)
        notes.json = json_rows_leniency(f->document);
    if (f->csv) {
        const struct csv_dialect d = csv_dialect(f->csv);
        notes.swallowed = d.swallowed;
        notes.swallowed_line = d.swallowed_line;
    }
    return notes;
}

void table_file_progress(const struct table_file *f, size_t *read, size_t *all)
{
    const struct stream *s = f->lines ? jsonl_stream(f->lines) : f->csv ? csv_stream(f->csv) : NULL;
    *read = s ? stream_position(s) : 0;
    *all = s ? stream_size(s) : 0;
}

#define GUESS_BYTES (64u << 20)

/* Whether the file's first bytes can be read in an encoding (NULL: are UTF-8). */
static bool reads_as(const char *path, const char *encoding)
{
    struct stream *s;
    struct error ignored;
    const char *line;
    size_t size, total = 0;
    int more = 1;
    if (stream_open(&s, path, encoding, &ignored))
        return false;
    bool fits = true;
    while (fits && total < GUESS_BYTES && (more = stream_line(s, &line, &size, &ignored)) > 0) {
        fits = utf8_is_valid(line, size);
        total += size;
    }
    stream_close(&s);
    return fits && more >= 0;
}

static bool has_utf16_mark(const char *path)
{
    struct stream *s;
    struct error ignored;
    size_t size = 0;
    if (stream_open(&s, path, NULL, &ignored))
        return false;
    const char *data = stream_more(s, &ignored) > 0 ? stream_data(s, &size) : "";
    bool mark = size >= 2 && (!memcmp(data, "\xff\xfe", 2) || !memcmp(data, "\xfe\xff", 2));
    stream_close(&s);
    return mark;
}

const char *table_file_guess_encoding(const char *path)
{
    if (has_utf16_mark(path))
        return "utf-16";
    return !reads_as(path, NULL) && reads_as(path, "cp1252") ? "cp1252" : NULL;
}
