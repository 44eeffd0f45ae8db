/* SPDX-License-Identifier: Apache-2.0 */
/* muster predict --url: rows of a file, predicted by a server; the same lines as by the bundle here. */
#pragma once

#include "coordinator/cli/prediction_rows.h"

struct remote_options {
    const char *url;
    const char *key_file; /* its first key is sent; NULL: none */
    struct input_options input;
};

/* Reads the file by the bundle's input composition, which the server tells, and writes all rows to `to`. *rows: how many.
 * ERROR_DATA as of a bundle here, ERROR_FAILED: no server, or it refuses. Blocks; polls stop_check. */
int remote_predict(uint64_t *rows, FILE *to, enum rows_form form, const char *input, const struct remote_options *o,
                   struct error *e);
