/* SPDX-License-Identifier: Apache-2.0 */
/* Predictions as text: JSON Lines, or a table with the columns id, label (of many a row: labels) and probability_LABEL for each
 * label. */
#pragma once

#include "coordinator/bundle/bundle_score.h"

#include <stdio.h>

enum rows_form { ROWS_JSON_LINES, ROWS_CSV, ROWS_TSV };

/* What a model says of some rows, wherever it was computed. All borrowed. */
struct prediction_rows {
    const struct label_set *labels;
    const char *separator;  /* of a row's labels in a table; NULL: ";" */
    const char *const *ids; /* (rows) */
    const float *logits;    /* (rows, labels) */
    const double *probability;
    const uint8_t *decided;
    uint32_t rows;
};

/* All rows; header: of a table, before them. Cells are quoted as RFC 4180 says, where they hold the separator, a quote or a line
 * end. The labels of a row stand with the bundle's separator (input.label_separator, else ';') between them; as a JSON list if a
 * label's name holds it. */
void prediction_rows_print(FILE *to, const struct prediction_rows *p, enum rows_form form, bool header);
/* The same of what a bundle scored here. */
void bundle_score_print(FILE *to, const struct bundle_score *s, enum rows_form form, bool header);
