/* SPDX-License-Identifier: Apache-2.0 */
/* A file of rows while it is read. Seen by records.c, which owns rows and texts, and record_labels.c, which owns labels. */
#pragma once

#include "common/base/buffer.h"
#include "common/base/table.h"
#include "coordinator/data/label_form.h"
#include "coordinator/data/records.h"

struct reader {
    const struct input *in;
    struct records *out;
    bool keep_all;
    const char *path;
    uint32_t file, line;
    bool cells;                 /* all values are texts */
    bool label_present;         /* a row has in->label */
    bool *column_found;         /* [in->label_columns] a row has it */
    struct label_values values; /* of the label fields */
    uint32_t *found;            /* of each row the number of its values, and these */
    size_t found_count, found_capacity;
    struct table *seen_fields; /* keys of the rows, the first of them, for "did you mean" */
    struct buffer composed, scratch;
};

bool has_labels(const struct input *in);
/* What the row says of its labels. *ret NULL: it has none. */
int read_label(struct reader *r, struct row_labels **ret, const struct json *row, struct error *e);
/* After all rows: what the values mean, the classes' names, and the classes of each row. paths: of the files. */
int decide_labels(struct reader *r, const char *const *paths, struct error *e);
