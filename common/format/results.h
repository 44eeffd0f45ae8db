/* SPDX-License-Identifier: Apache-2.0 */
/* Logits and results in HDF5; the sole owner of hdf5.h. Files are closed after every call and replaced atomically.
 *
 * trials/<key>/logits.h5   /<part>/epoch-<n>/logits  float32 (rows, labels), rows in the order of split.part[part].rows
 * results.h5               /rows/<part>/{id,label,group}   /trials/<key>/<part>/epoch-<n>/logits
 * Datasets are chunked, carry dimension scales ("row", "label") and the attributes loss, metrics (JSON text), options
 * (JSON text), split_sha256. */
#pragma once

#include "common/format/split.h"

#include <stddef.h>

struct logits {
    enum part part;
    int epoch; /* 1-based */
    uint32_t rows, labels;
    float *values; /* (rows, labels), owned */
    double loss;   /* sum of weighted losses / sum of weights over the part */
    char split_sha256[65];
};

int logits_append(const char *path, const struct logits *l, struct error *e); /* adds or replaces part/epoch; atomic */
/* Whose rows a file's logits are, for messages: those of d numbered rows[]; rows NULL: all of d. */
struct logits_rows {
    const struct dataset *d;
    const uint32_t *rows;
};
/* ERROR_DATA if the part or epoch is missing, the file is cut or not HDF5, or a value is not finite: that row is named by its id,
 * by its number where whose is NULL. */
int logits_read(struct logits *ret, const char *path, enum part part, int epoch, const struct logits_rows *whose,
                struct error *e);
void logits_free(struct logits *l);

/* One trial's file to be merged into results.h5; options and metrics are JSON texts. */
struct results_trial {
    const char *key, *logits_path, *options;
    const char *const *epoch_metrics; /* [epochs], JSON text per validation epoch; entries may be NULL */
    int epochs;
};
int results_write(const char *path, const struct dataset *d, const struct split *s, const char *const *label_names,
                  const struct results_trial *trials, size_t count, struct error *e);

/* What a bundle says of a file's rows: /id, /label, and (rows, labels) each /logits float32, /probabilities float64, /decided 0
 * or
 * 1. Replaces what is there. */
struct predictions {
    const struct dataset *data;
    const char *const *label_names;
    uint32_t labels;
    const float *logits;
    const double *probabilities;
    const uint8_t *decided;
};
int predictions_write(const char *path, const struct predictions *p, struct error *e);
