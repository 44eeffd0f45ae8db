/* SPDX-License-Identifier: Apache-2.0 */
/* Texts of a few rows, read again from the user's data by id. */
#pragma once

#include "coordinator/report/run_directory.h"

struct report_texts {
    char **a, **b; /* (count) by place in the list of rows; NULL: not found */
    size_t count;
    char *why; /* there are none; NULL: there are */
};

/* rows (count) of r->data. Never fails: data that has gone or changed is said in `why`. */
void report_texts_read(struct report_texts *ret, const struct report_run *r, const uint32_t *rows, size_t count);
void report_texts_free(struct report_texts *t);
