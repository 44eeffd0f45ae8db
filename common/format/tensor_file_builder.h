/* SPDX-License-Identifier: Apache-2.0 */
/* How a reader of one format fills a tensor_file; for the readers in this directory, and for fuzzers, which have bytes and no
 * file. */
#pragma once

#include "common/base/file.h"
#include "common/format/tensor_file.h"

/* Reads what is in memory; `bytes` outlive *ret. `place` names them in messages. */
int tensor_file_parse(struct tensor_file **ret, const void *bytes, size_t size, const char *place, struct error *e);

struct tensor_file *tensor_file_create(void);                        /* without tensors; tensor_file_close frees it */
void tensor_file_add(struct tensor_file *f, const struct tensor *t); /* the name is copied, the data is borrowed */
void tensor_file_keep(struct tensor_file *f, void *block);           /* freed with the file: data that is no part of `bytes` */
void tensor_file_set_metadata(struct tensor_file *f, const char *key, const char *value);

/* Takes over the tensors of `part`, closed with f; *part is consumed. */
void tensor_file_merge(struct tensor_file *f, struct tensor_file **part);
void tensor_file_keep_map(struct tensor_file *f, struct file_map map); /* unmapped with the file */
/* By name, once all are there. ERROR_DATA if a name is there twice. */
int tensor_file_sort(struct tensor_file *f, const char *place, struct error *e);

/* Bytes of an element; 0 for TENSOR_OTHER. */
size_t tensor_type_size(enum tensor_type type);
const char *tensor_type_name(enum tensor_type type); /* "F32" */

/* a * b into *product, or false when that does not fit. */
static inline bool multiply_sizes(size_t a, size_t b, size_t *product)
{
    return !__builtin_mul_overflow(a, b, product);
}
