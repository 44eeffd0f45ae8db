/* SPDX-License-Identifier: Apache-2.0 */
/* A model's row, from the directory of a run, finished or not, or from a bundle alone. Nothing is guessed: what the files do not
 * say is absent. */
#pragma once

#include "coordinator/job/job.h"
#include "coordinator/zoo/zoo_score.h"

struct zoo_row {
    struct json *values;       /* owned; its keys: docs/formats.md, "muster zoo" */
    struct json *labels;       /* their names. Owned; NULL: not known */
    char *protocol;            /* split and labels; two rows of another one are not compared. Owned */
    char *data;                /* hash of ids, groups and labels, likewise; NULL: not known. Owned */
    bool most_probable;        /* decides by the most probable class */
    double *validation, *test; /* (ZOO_DRAWS, BOOTSTRAP_METRICS) draws; NULL: no logits. Owned */
};

struct zoo_rows {
    struct zoo_row *list;
    size_t count, capacity;
};

/* Adds the row of the run in `directory`, and one of its TF-IDF baseline. ERROR_USAGE, ERROR_DATA as report_run_read. */
int zoo_add_run(struct zoo_rows *to, const char *directory, struct error *e);
/* Adds the row of a bundle. ERROR_DATA. */
int zoo_add_bundle(struct zoo_rows *to, const char *directory, struct error *e);
char *zoo_fields_of(const struct job *j); /* "title + snippet". Caller frees */
struct zoo_row *zoo_rows_add(struct zoo_rows *to);
void zoo_rows_free(struct zoo_rows *r);
