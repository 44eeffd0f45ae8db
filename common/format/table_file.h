/* A file of rows, whatever its format: JSON Lines, CSV or TSV, each as it is or as .gz or .zst. The format is told by the name
 * (.jsonl .ndjson .json, .csv, .tsv .tab, before .gz or .zst), for other names by the first line. */
#pragma once

#include "common/base/error.h"
#include "common/json/json.h"

struct table_file;

int table_file_open(struct table_file **ret, const char *path, struct error *e); /* as jsonl_open, csv_open */
void table_file_close(struct table_file **f);
/* As jsonl_next and csv_next: a row is an object, borrowed until the next call or close. */
int table_file_next(struct table_file *f, const struct json **row, size_t *line, struct error *e);
bool table_file_has_cells(const struct table_file *f);     /* CSV, TSV: all values are texts, and lists are texts too */
const char *table_file_format(const struct table_file *f); /* "JSON Lines", "CSV", "TSV" */
