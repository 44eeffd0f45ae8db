/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/file_kind.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define PANDAS(read)                                                                                                             \
    "convert it: python3 -c 'import pandas, sys; pandas." read                                                                   \
    "(sys.argv[1]).to_json(sys.argv[2], orient=\"records\", lines=True)' %s rows.jsonl"

static const struct kind {
    const char *magic;
    size_t size;
    const char *what, *advice; /* advice may hold one %s, the path */
} kinds[] = {
#define MAGIC(bytes) bytes, sizeof bytes - 1
    {MAGIC("PAR1"), "a Parquet file", PANDAS("read_parquet")},
    {MAGIC("ARROW1\0"), "an Arrow (Feather) file", PANDAS("read_feather")},
    {MAGIC("PK\003\004"), "a ZIP archive or an Excel workbook", "unpack it (unzip), or save the sheet as CSV UTF-8"},
    {MAGIC("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), "an Excel workbook (.xls)", "save the sheet as CSV UTF-8"},
    {MAGIC("\xfd"
           "7zXZ\0"),
     "xz data", "unpack it: unxz -k %s"},
    {MAGIC("7z\xbc\xaf\x27\x1c"), "a 7z archive", "unpack it: 7z x %s"},
    {MAGIC("\x89HDF\r\n\x1a\n"), "an HDF5 file", "write its rows as JSON Lines or CSV"},
    {MAGIC("SQLite format 3\0"), "an SQLite database",
     "write the table as CSV: sqlite3 -header -csv %s 'select * from TABLE' >rows.csv"},
    {MAGIC("%PDF-"), "a PDF", "write its text as JSON Lines or CSV"},
    {MAGIC("\x93NUMPY"), "a NumPy array", "write rows as JSON Lines or CSV"},
    {MAGIC("Obj\001"), "an Avro file", "write its rows as JSON Lines or CSV"},
    {MAGIC("version https://git-lfs.github.com/spec/"), "a Git LFS pointer, not the file itself", "fetch it: git lfs pull"},
#undef MAGIC
};

static bool is_pickle(const char *data, size_t size)
{
    return size > 2 && (unsigned char)data[0] == 0x80 && data[1] >= 2 && data[1] <= 5;
}

static bool is_bzip2(const char *data, size_t size)
{
    return size >= 10 && !memcmp(data, "BZh", 3) && data[3] >= '1' && data[3] <= '9' && !memcmp(data + 4, "1AY&SY", 6);
}

/* A failed download, most often. */
static bool is_html(const char *data, size_t size)
{
    while (size > 0 && strchr(" \t\r\n", *data) && *data)
        data++, size--;
    return (size >= 14 && !strncasecmp(data, "<!doctype html", 14)) || (size >= 5 && !strncasecmp(data, "<html", 5));
}

static int refuse(const char *path, const char *what, const char *advice, struct error *e)
{
    char words[512];
    const char *hole = strstr(advice, "%s");
    if (hole)
        snprintf(words, sizeof words, "%.*s%.200s%s", (int)(hole - advice), advice, path, hole + 2);
    return error_set(e, ERROR_DATA, "%s: is %s; %s", path, what, hole ? words : advice);
}

int file_kind_check(const char *path, const char *data, size_t size, struct error *e)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (size >= kinds[i].size && !memcmp(data, kinds[i].magic, kinds[i].size))
            return refuse(path, kinds[i].what, kinds[i].advice, e);
    if (is_bzip2(data, size))
        return refuse(path, "bzip2 data", "unpack it: bunzip2 -k %s", e);
    if (is_pickle(data, size))
        return refuse(path, "a Python pickle", "write its rows as JSON Lines or CSV", e);
    if (is_html(data, size))
        return refuse(path, "an HTML page", "was it a failed download? fetch the file itself", e);
    return 0;
}

int file_kind_check_file(const char *path, struct error *e)
{
    char data[512];
    FILE *file = fopen(path, "rbe");
    size_t size = file ? fread(data, 1, sizeof data, file) : 0;
    if (file)
        fclose(file);
    return file_kind_check(path, data, size, e);
}
