/* Owns the walk over the lines of a JSON Lines file. */
#include "common/format/jsonl.h"

#include "common/base/file.h"
#include "common/base/memory.h"

#include <stdlib.h>
#include <string.h>

struct jsonl {
    char *path;
    struct file_map map;
    const char *at, *end;
    size_t line; /* of `at`, from 0 */
    struct json *row;
};

static bool is_blank(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\r'))
        p++;
    return p == end;
}

/* The next line with something on it, without its line feed; false at the end. */
static bool next_line(struct jsonl *f, const char **start, const char **end)
{
    while (f->at < f->end) {
        const char *feed = memchr(f->at, '\n', (size_t)(f->end - f->at));
        *start = f->at;
        *end = feed ? feed : f->end;
        f->at = feed ? feed + 1 : f->end;
        f->line++;
        if (!is_blank(*start, *end))
            return true;
    }
    return false;
}

static void rewind_file(struct jsonl *f)
{
    f->at = f->map.data;
    f->end = f->at + f->map.size;
    f->line = 0;
    if (f->map.size >= 3 && !memcmp(f->at, "\xef\xbb\xbf", 3))
        f->at += 3;
}

int jsonl_open(struct jsonl **ret, const char *path, struct error *e)
{
    struct jsonl *f = allocate(1, sizeof *f);
    const char *start, *end;
    if (file_map(&f->map, path, e))
        goto fail;
    f->path = duplicate(path);
    if (!f->map.size) {
        error_set(e, ERROR_DATA, "%s: is empty; one JSON object a line is expected", path);
        goto fail;
    }
    rewind_file(f);
    if (!next_line(f, &start, &end)) {
        error_set(e, ERROR_DATA, "%s: has only blank lines; one JSON object a line is expected", path);
        goto fail;
    }
    rewind_file(f);
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
    json_destroy(&f->row);
    file_unmap(&f->map);
    free(f->path);
    free(f);
    *file = NULL;
}

int jsonl_next(struct jsonl *f, const struct json **row, size_t *line, struct error *e)
{
    const char *start, *end;
    json_destroy(&f->row);
    if (!next_line(f, &start, &end))
        return 0;
    if (json_parse_line(&f->row, start, (size_t)(end - start), f->path, f->line, e))
        return -1;
    enum json_type type = json_type(f->row);
    if (type != JSON_OBJECT)
        return error_set(e, ERROR_DATA, "%s:%zu:1: a row is %s; an object is expected, as in {\"text\": \"...\", \"label\": 1}",
                         f->path, f->line, json_type_name(type));
    *row = f->row;
    *line = f->line;
    return 1;
}
