/* SPDX-License-Identifier: Apache-2.0 */
/* A frozen protocol: a split file with an object "protocol", which says from which files, by which fields and with which labels
 * it was made, and which rows are in no part. Its rows and labels take the place of data.min_label_count, data.min_words and
 * data.repeats "drop" of a job that names it in split.file. Written by protocol_freeze.h. */
#pragma once

#include "common/base/sha256.h"
#include "common/format/split.h"
#include "coordinator/data/records.h"

#define PROTOCOL_VERSION_READ 1

struct protocol {
    struct json *root;           /* the file; NULL: split.file is a plain split, or there is none */
    const struct json *protocol; /* its object, borrowed from root */
    const char *path;            /* borrowed from the job */
    char sha256[SHA256_HEX];     /* of the file */
};

/* ERROR_DATA: damaged, or of another version. */
int protocol_open(struct protocol *ret, const struct job *j, struct error *e);
void protocol_close(struct protocol *p);
/* ERROR_DATA, naming the file: these are not the files that it was made from. sha256 (count). */
int protocol_check_files(const struct protocol *p, const char *const *paths, const char (*sha256)[SHA256_HEX], size_t count,
                         struct error *e);
/* Keeps the rows of its parts, with its labels in its order. ERROR_DATA: a row that it names is missing, a row or a label is
 * unknown to it. */
int protocol_select(struct records *r, const struct protocol *p, struct error *e);
/* ERROR_DATA: the texts or labels of a part are others. Where texts are composed of other fields, a note on standard output. */
int protocol_check_texts(const struct protocol *p, const struct split *s, const struct job *j, struct error *e);
/* The keys of "data" that texts are composed by. Caller destroys. */
struct json *protocol_text_options(const struct job *j);
