/* SPDX-License-Identifier: Apache-2.0 */
/* The baseline that every transformer has to beat: TF-IDF of words and pairs of words, and a logistic regression for each label.
 * A pure function of its texts. It is fitted on the train rows alone; other rows are only scored. */
#pragma once

#include "common/base/error.h"
#include "common/text/tfidf.h"

#define BASELINE_TERMS 10 /* named for each label */

struct baseline_rows {
    const char *const *texts;
    size_t count;
};

struct baseline_task {
    struct tfidf_options terms;
    struct baseline_rows train;
    const unsigned char *truth;         /* (train rows, columns) 0 or 1 */
    uint32_t columns;                   /* labels; 1 where two classes exclude each other */
    const double *positive, *negative;  /* (columns) weights of rows that have the label, and of those that do not */
    const struct baseline_rows *scored; /* (scored_count) */
    size_t scored_count;
};

struct baseline_term {
    char *term; /* owned; NULL: there are fewer */
    double weight;
};

struct baseline_fit {
    float **decisions;           /* [scored_count] (rows, columns): log odds of each label */
    struct baseline_term *terms; /* (columns, BASELINE_TERMS), those that speak most for a label */
    uint32_t columns, features;
    size_t scored_count;
};

/* One thread a core, a label at a time each; the outcome does not depend on them. ERROR_DATA if no term is left (tfidf_fit).
 * Polls stop_check between labels. */
int baseline_fit(struct baseline_fit *ret, const struct baseline_task *task, struct error *e);
void baseline_fit_free(struct baseline_fit *f);
