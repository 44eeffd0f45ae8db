/* SPDX-License-Identifier: Apache-2.0 */
/* From cleaned rows to a rows file: tokenised by all cores, some thousands of rows at a time. */
#pragma once

#include "common/text/pair.h"
#include "common/text/tokenizer.h"
#include "coordinator/data/records.h"

/* What tokenising found; tokens (rows) is the caller's. */
struct token_lengths {
    uint32_t *tokens; /* of each row, before truncation */
    uint64_t truncated, first_too_long;
    uint32_t groups; /* of the rows */
};

/* labels 0: the rows file carries none. lengths may be NULL. Polls stop_check. */
int tokenize_records(const char *path, const struct records *r, const struct tokenizer *t, uint32_t max_length,
                     enum truncation truncation, uint32_t labels, bool multi, struct token_lengths *lengths, struct error *e);

/* A bundle's field that has another name in the file. */
struct field_name {
    char *field;
    const char *column;
};

/* How a file to predict or evaluate is read; {0} as the bundle says. */
struct input_options {
    struct table_options table;
    bool skip_bad; /* rows that would be refused are passed over, counted and told as a warning */
    struct field_name *names;
    size_t name_count;
};

/* A bundle's input composition: "input", max_length and truncation of its inference_config.json. */
struct bundle_input {
    struct input input; /* borrows the configuration's texts */
    struct json *limits;
    uint32_t max_length;
    enum truncation truncation;
};

/* ERROR_DATA: something is not there; ERROR_USAGE: a field name that the bundle has not. */
int bundle_input_read(struct bundle_input *ret, const struct json *inference_config, bool need_labels,
                      const struct input_options *o, struct error *e);
void bundle_input_free(struct bundle_input *b);
/* The rows of a file, composed; what is left out or absent is warned of. Caller frees. ERROR_DATA. */
int data_read_rows(struct records *ret, const char *path, const struct bundle_input *b, struct error *e);

/* predict, evaluate: rows of any file by a bundle's input composition ("input" of inference_config.json: text_a, text_b, joiner,
 * required, id, label, labels, max_length, truncation); labels optional unless needed. Writes a rows file at `path`; every input
 * line keeps its place: rows without text are an error naming the line; with labels needed they are left out. A row without an id
 * is named by its line; a field that is not required may be absent. ERROR_USAGE: a field name that the bundle has not. */
int data_tokenize_file(const char *input, const struct json *inference_config, const struct tokenizer *t, const char *path,
                       bool need_labels, const struct input_options *o, struct error *e);

/* Where the rows file of a run directory lies whose check.json says `made_from`. Caller frees. */
char *data_rows_path(const char *directory, const char *made_from);
