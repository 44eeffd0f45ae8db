/* A file of rows while it is read. Seen by records.c, which owns rows and texts, and record_labels.c, which owns labels. */
#pragma once

#include "common/base/buffer.h"
#include "common/base/table.h"
#include "coordinator/data/records.h"

/* Label values seen so far, before classes are numbered. */
enum label_form { LABELS_UNSEEN, LABELS_INDEX, LABELS_NAME };

struct found_labels {
    bool ignored; /* one was passed over */
    uint32_t count, number[];
};

struct reader {
    const struct input *in;
    struct records *out;
    bool keep_all;
    const char *path;
    uint32_t file, line;
    bool cells;                  /* all values are texts */
    const char *label_field;     /* that is being read, for messages */
    bool label_present;          /* a row has in->label */
    bool *column_found;          /* [in->label_columns] a row has it */
    struct table *given;         /* labels that the input names */
    struct table *ignored;       /* and those it passes over */
    struct table *names;         /* of labels, where the input names none */
    enum label_form form;        /* likewise: all rows agree */
    uint32_t index_count;        /* likewise: highest index + 1 */
    struct found_labels **found; /* [rows capacity] */
    size_t found_capacity;
    struct table *seen_fields; /* keys of the rows, the first of them, for "did you mean" */
    struct buffer composed, scratch;
};

bool has_labels(const struct input *in);
/* What the row says of its labels. *ret NULL: it has none. */
int read_label(struct reader *r, struct found_labels **ret, const struct json *row, struct error *e);
/* After all rows. Names of the classes: as the input says, or all indexes up to the highest, or the names found, sorted. */
void name_labels(struct reader *r);
/* Classes and label lists from the labels found, in the numbering of name_labels. */
void number_labels(struct reader *r);
