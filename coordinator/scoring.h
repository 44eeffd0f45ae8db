/* A bundle applied to a file of rows: one pass, logits in the order of the rows. */
#pragma once

#include "common/format/bundle.h"
#include "common/format/dataset.h"
#include "coordinator/figures.h"

struct scoring {
    struct bundle *bundle;
    struct dataset *data;
    float *logits;        /* (rows, labels) */
    double *probability;  /* (rows, labels): softmax, or of many labels a row sigmoid, of logits / temperature */
    uint8_t *decided;     /* (rows, labels): 1 where the bundle's rule gives the row the label */
    double *temperatures; /* (labels) */
    uint32_t rows, labels;
};

struct scoring_options {
    const char *device;
    int threads; /* 0: all cores */
};

/* need_labels: rows must carry the label field (evaluate). */
int scoring_run(struct scoring *ret, const char *bundle, const char *input, bool need_labels, const struct scoring_options *o,
                struct error *e);
void scoring_free(struct scoring *s);
/* Class that the bundle's rule gives row i, of a bundle with one label a row. */
uint32_t scoring_predict(const struct scoring *s, uint32_t i);
/* How the bundle decides; without labels of the rows. */
struct truth scoring_kind(const struct scoring *s);
