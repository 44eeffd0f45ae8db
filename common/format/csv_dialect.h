/* SPDX-License-Identifier: Apache-2.0 */
/* What a CSV or TSV is written in, told by its bytes. Inside csv.c only. */
#pragma once

#include "common/format/csv.h"

/* The one of , ; tab | that gives the most records of the sample as many cells as the header, of equals the one with more cells;
 * a comma where none stands in the header. Separators in quotes do not count. */
char csv_find_separator(const char *sample, size_t size, char line_end);
/* Reads all of a TSV: *plain where each line has the header's tabs and some cell begins with a quote that does not close it, so
 * that quotes are text, as in GLUE's files. */
int csv_find_plain_quotes(bool *plain, const char *path, const struct csv_options *o, struct error *e);
