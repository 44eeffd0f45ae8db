/* SPDX-License-Identifier: Apache-2.0 */
/* The options that say how a file to predict or evaluate is read. */
#pragma once

#include "common/base/options.h"
#include "coordinator/data/tokenize.h"

/* Rows of a verb's table of options. */
#define INPUT_OPTIONS                                                                                                            \
    {"field", 0, "FIELD=COLUMN", NULL, "read a field of the bundle from this column of the file (repeatable)"},                  \
        {"skip-bad", 0, NULL, NULL, "skip rows that would be refused; their number and first lines are a warning"},              \
        {"quotes", 0, "NAME", "auto", "quotes in CSV and TSV: auto; none: they are text"},                                       \
    {                                                                                                                            \
        "encoding", 0, "NAME", NULL, "text encoding of the file, as iconv names it (cp1252, latin1, utf-16); default: UTF-8"     \
    }

/* ERROR_USAGE. Borrows the arguments' texts. */
int input_arguments_read(struct input_options *ret, const struct arguments *a, struct error *e);
void input_arguments_free(struct input_options *o);
