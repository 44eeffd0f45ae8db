/* SPDX-License-Identifier: Apache-2.0 */
/* A bundle applied to a file of rows: one pass, logits in the order of the rows. */
#pragma once

#include "common/format/bundle.h"
#include "common/format/dataset.h"
#include "common/format/split.h"
#include "coordinator/data/tokenize.h"
#include "coordinator/decision/metrics.h"

struct bundle_score {
    struct bundle *bundle;
    struct dataset *data;
    float *logits;        /* (rows, labels) */
    double *probability;  /* (rows, labels): softmax, or of many labels a row sigmoid, of logits / temperature */
    uint8_t *decided;     /* (rows, labels): 1 where the bundle's rule gives the row the label */
    double *temperatures; /* (labels) */
    uint32_t rows, labels;
    bool knows;                     /* the bundle tells which rows it knows */
    uint32_t known[PART_COUNT + 1]; /* rows of the file by the part of the bundle's run they stand in; new ones last */
};

/* What happens to rows that the bundle was made from. */
enum overlap_policy {
    OVERLAP_ANY,          /* scored as any other; not looked for */
    OVERLAP_COUNT,        /* scored and counted */
    OVERLAP_REFUSE_TRAIN, /* ERROR_DATA if one was trained on, else scored and counted */
    OVERLAP_LEAVE_OUT     /* rows trained on or tuned on are left out; ERROR_DATA if none is left */
};

struct bundle_score_options {
    const char *device;
    int threads; /* 0: all cores */
    enum overlap_policy overlap;
    struct input_options input;
};

/* input: a file, or a pipe or device, or "-" for standard input, which are read to their ends into a temporary file first.
 * need_labels: rows must carry the label field (evaluate). */
int bundle_score_run(struct bundle_score *ret, const char *bundle, const char *input, bool need_labels,
                     const struct bundle_score_options *o, struct error *e);
/* Standard input, row by row: JSON Lines are scored in chunks as they come, and each chunk is handed to `take` before more is
 * read, so that memory does not grow with the input. Anything else (a table, a document, compressed) is read to its end first,
 * and is one chunk. *first: of the chunks. What take returns other than 0 ends it. */
int bundle_score_stream(const char *bundle, const struct bundle_score_options *o,
                        int (*take)(void *context, const struct bundle_score *s, bool first, struct error *e), void *context,
                        struct error *e);
void bundle_score_free(struct bundle_score *s);
/* Class that the bundle's rule gives row i, of a bundle with one label a row. */
uint32_t bundle_score_predict(const struct bundle_score *s, uint32_t i);
/* How the bundle decides; without labels of the rows. */
struct truth bundle_score_kind(const struct bundle_score *s);
