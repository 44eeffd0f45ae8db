/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of each row's text beyond its tokens: a fingerprint, and which rows say the same. check makes it and keeps it
 * beside the rows file, so that the split can be examined without reading the data again.
 *
 * A row's fingerprint is the SHA-256 of its composed texts and its labels' names; a set's is that of its rows' fingerprints in
 * order of their digits, so that neither ids nor the order of rows matter, and anybody who has the rows can prove which they are.
 */
#pragma once

#include "common/base/file.h"
#include "common/base/scratch.h"
#include "coordinator/data/near_duplicates.h"

#define FINGERPRINT_HEX 65

struct row_fact {
    uint32_t exact, near; /* the first row of those with the same texts, of the cluster of near duplicates */
    char fingerprint[FINGERPRINT_HEX];
};

struct row_facts {
    const struct row_fact *rows; /* in `memory`, or in the file that was read */
    struct scratch memory;
    struct file_map file;
    uint32_t count;
    double *times; /* (rows) of data.time; NULL without */
    enum time_form time_form;
};

/* n may be NULL; its roots are copied. All cores; ERROR_STOPPED. */
int row_facts_make(struct row_facts *ret, const struct records *r, const uint32_t *exact, const struct near_duplicates *n,
                   struct error *e);
int row_facts_write(const char *path, const struct row_facts *f, struct error *e);
int row_facts_read(struct row_facts *ret, const char *path, uint32_t rows,
                   struct error *e); /* ERROR_DATA: not of so many rows; ERROR_STOPPED */
void row_facts_free(struct row_facts *f);
/* Now and then, for who walks them all and has done those before `end`: what lies in files need not stay resident. */
void row_facts_walked(const struct row_facts *f, size_t end);

/* rows NULL: all. ERROR_STOPPED. */
int row_facts_fingerprint(char text[FINGERPRINT_HEX], const struct row_facts *f, const uint32_t *rows, size_t count,
                          struct error *e);

/* *exact (rows, caller frees): for each row the first one with the same composed texts. All cores; ERROR_STOPPED. */
int exact_duplicates(uint32_t **exact, const struct records *r, struct error *e);
/* Whether two rows have the same labels. */
bool records_agree(const struct record *a, const struct record *b);
