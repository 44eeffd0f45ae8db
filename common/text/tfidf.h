/* SPDX-License-Identifier: Apache-2.0 */
/* Texts as sparse vectors: words and pairs of neighbours, TF-IDF, as scikit-learn's TfidfVectorizer(ngram_range=(1, 2),
 * sublinear_tf=True, min_df=, max_features=) makes them. Words: runs of two or more letters, digits and '_' of the text in lower
 * case as Python has it. A column's idf is ln((1 + n) / (1 + df)) + 1, a row's value (1 + ln count) * idf, its length 1 (L2).
 * Columns are in order of their terms' bytes. Of terms in equal numbers at the edge of max_features the first ones stay. */
#pragma once

#include "common/base/error.h"
#include "common/text/words.h"

#include <stddef.h>
#include <stdint.h>

struct tfidf_options {
    uint32_t min_df;       /* terms of fewer texts are left out */
    uint32_t max_features; /* columns at most: the terms that occur most */
};

struct tfidf;

/* Memory: 4 bytes a word of the texts, some 60 a different word, and at most about 400 MB for counting pairs, which takes as many
 * passes as that allows. ERROR_DATA if no term is left. Polls stop_check. */
int tfidf_fit(struct tfidf **ret, const char *const *texts, size_t count, const struct tfidf_options *o, struct error *e);
void tfidf_destroy(struct tfidf **t);
uint32_t tfidf_columns(const struct tfidf *t);
char *tfidf_term(const struct tfidf *t, uint32_t column); /* "word" or "word word"; caller frees */

/* A row; zero-initialise, reuse, free. */
struct tfidf_row {
    uint32_t *columns; /* (count), ascending */
    double *values;    /* (count); none for a text without a known term */
    size_t count, column_capacity, value_capacity;
    struct words scan;
};
void tfidf_transform(struct tfidf_row *row, const struct tfidf *t, const char *text);
void tfidf_row_free(struct tfidf_row *row);
