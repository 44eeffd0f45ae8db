/* SPDX-License-Identifier: Apache-2.0 */
/* What a job's label values mean, decided once for all of its rows: the classes, and the class of each value. docs/data.md has
 * the rule for each form. */
#pragma once

#include "coordinator/data/label_values.h"
#include "coordinator/job/job.h"

#define LABEL_IGNORED UINT32_MAX

struct label_question {
    const struct label_values *values;
    const struct text_fields *given;   /* data.labels: names by index; empty: as found */
    const struct text_fields *ignored; /* values that are passed over */
    const char *form;                  /* data.label_form: "auto", "index", "name", "vector" */
    const char *const *paths;          /* of the values' files */
    const char *field;
    bool columns; /* each value is the name of a column */
};

struct label_answer {
    const char *form; /* "index", "name", "boolean", "vector", "columns" */
    bool vector;      /* the value at place i of a row's list says whether it has class i */
    char **names;     /* (count) */
    size_t count;
    uint32_t *class_of; /* (values) or LABEL_IGNORED */
    struct json *notes; /* list of texts: what was read in one way and could be meant in another */
};

/* ERROR_DATA: a value that is no label, with its place; ERROR_USAGE-like questions are ERROR_DATA too and name data.label_form.
 */
int label_form_decide(struct label_answer *ret, const struct label_question *q, struct error *e);
void label_answer_free(struct label_answer *a);
