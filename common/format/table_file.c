/* Owns the choice of a reader for a file of rows. */
#include "common/format/table_file.h"

#include "common/base/memory.h"
#include "common/format/csv.h"
#include "common/format/jsonl.h"
#include "common/format/stream.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum format { FORMAT_JSON_LINES, FORMAT_CSV, FORMAT_TSV };

static const struct {
    const char *suffix;
    enum format format;
} suffixes[] = {{".jsonl", FORMAT_JSON_LINES}, {".ndjson", FORMAT_JSON_LINES}, {".json", FORMAT_JSON_LINES},
                {".csv", FORMAT_CSV},          {".tsv", FORMAT_TSV},           {".tab", FORMAT_TSV}};

static const char *const format_names[] = {"JSON Lines", "CSV", "TSV"};

struct table_file {
    enum format format;
    struct jsonl *lines; /* one of the two */
    struct csv *csv;
};

/* By the first line: a brace opens JSON; else what would separate a header's names. */
static int format_by_content(enum format *ret, const char *path, struct error *e)
{
    struct stream *s;
    const char *line = "";
    size_t size = 0;
    if (stream_open(&s, path, e))
        return -1;
    int more = stream_line(s, &line, &size, e);
    if (more >= 0) {
        size_t at = size >= 3 && !memcmp(line, "\xef\xbb\xbf", 3) ? 3 : 0;
        while (at < size && strchr(" \t\r", line[at]) && line[at])
            at++;
        bool json = at == size || line[at] == '{' || line[at] == '[';
        *ret = json                       ? FORMAT_JSON_LINES
               : memchr(line, '\t', size) ? FORMAT_TSV
               : memchr(line, ',', size)  ? FORMAT_CSV
                                          : FORMAT_JSON_LINES;
    }
    stream_close(&s);
    return more < 0 ? -1 : 0;
}

static int find_format(enum format *ret, const char *path, struct error *e)
{
    size_t size = stream_name_size(path);
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        size_t n = strlen(suffixes[i].suffix);
        if (size > n && !strncasecmp(path + size - n, suffixes[i].suffix, n)) {
            *ret = suffixes[i].format;
            return 0;
        }
    }
    return format_by_content(ret, path, e);
}

int table_file_open(struct table_file **ret, const char *path, struct error *e)
{
    struct table_file f = {0};
    if (find_format(&f.format, path, e))
        return -1;
    if (f.format == FORMAT_JSON_LINES ? jsonl_open(&f.lines, path, e)
                                      : csv_open(&f.csv, path, f.format == FORMAT_TSV ? '\t' : 0, e))
        return -1;
    *ret = allocate(1, sizeof f);
    **ret = f;
    return 0;
}

void table_file_close(struct table_file **f)
{
    if (!f || !*f)
        return;
    jsonl_close(&(*f)->lines);
    csv_close(&(*f)->csv);
    free(*f);
    *f = NULL;
}

int table_file_next(struct table_file *f, const struct json **row, size_t *line, struct error *e)
{
    return f->lines ? jsonl_next(f->lines, row, line, e) : csv_next(f->csv, row, line, e);
}

bool table_file_has_cells(const struct table_file *f)
{
    return f->csv != NULL;
}

const char *table_file_format(const struct table_file *f)
{
    return format_names[f->format];
}
