/* SPDX-License-Identifier: Apache-2.0 */
/* Near duplicates: rows whose words, five at a time, are the same to a Jaccard similarity of 0.8 or more, in text A and in text B
 * each. Found by MinHash (Broder 1997): 128 permutations, 21 bands of 6, so that a pair at 0.8 is seen with a chance of 99.8 %;
 * each pair seen is then verified on its words. Deterministic; letters count alike in either case (ASCII). */
#pragma once

#include "coordinator/data/records.h"

#define NEAR_LEAST 0.8
#define NEAR_LISTED 100

struct near_pair {
    uint32_t a, b;  /* rows; a < b */
    double jaccard; /* the lower of A's and B's */
};

struct near_duplicates {
    uint32_t *root; /* (rows) the first row of each row's cluster: rows joined by pairs, exact duplicates too */
    struct near_pair pairs[NEAR_LISTED];
    size_t listed;
};

/* exact (rows): the first row with the same texts, the row itself where it is the first. All cores; polls stop_check. */
int near_duplicates_find(struct near_duplicates *ret, const struct records *r, const uint32_t *exact, struct error *e);
void near_duplicates_free(struct near_duplicates *n);
