/* SPDX-License-Identifier: Apache-2.0 */
/* Named tensors in a file, whatever the file: safetensors, or PyTorch's pickle in zip form or in the form of before 1.6
 * (read by an unpickler that builds tensors and executes nothing). Checked whole when opened: headers, shapes, offsets,
 * overlaps; everything wrong is ERROR_DATA with path and tensor. */
#pragma once

#include "common/base/error.h"

#include <stddef.h>
#include <stdint.h>

enum tensor_type { TENSOR_F32, TENSOR_F16, TENSOR_BF16, TENSOR_F64, TENSOR_I64, TENSOR_I32, TENSOR_U8, TENSOR_OTHER };

#define TENSOR_DIMENSIONS 8

struct tensor {
    const char *name; /* borrowed from the file, as all here */
    enum tensor_type type;
    int dimensions;
    int64_t shape[TENSOR_DIMENSIONS];
    size_t count;     /* elements */
    const void *data; /* little-endian, row-major, not necessarily aligned; borrowed until the file is closed */
    size_t size;      /* bytes */
};

struct tensor_file;

/* By content, not by name; a path that ends with ".index.json" is that of weights in several files, all of which are opened: one
 * that is missing, or lacks a tensor that the index says it has, is ERROR_DATA. */
int tensor_file_open(struct tensor_file **ret, const char *path, struct error *e);
void tensor_file_close(struct tensor_file **f);
size_t tensor_file_count(const struct tensor_file *f);
const struct tensor *tensor_file_at(const struct tensor_file *f, size_t i);           /* sorted by name */
const struct tensor *tensor_file_find(const struct tensor_file *f, const char *name); /* NULL if absent */
const char *tensor_file_metadata(const struct tensor_file *f, const char *key); /* safetensors __metadata__; NULL if absent */
/* Converts to f32 (from f32, f16, bf16, f64); any other type is ERROR_DATA. `to` holds t->count. */
int tensor_to_f32(const struct tensor *t, float *to, struct error *e);
/* First element that is NaN or infinite, or -1. */
int64_t tensor_first_not_finite(const struct tensor *t);

/* Writes safetensors (header padded to 8 bytes, tensors in the order given, atomically; put narrow types last, so that the
 * others stay aligned for readers that need it). metadata: NULL-terminated
 * key, value, key, value list, or NULL. Same input, same bytes. */
int safetensors_write(const char *path, const struct tensor *tensors, size_t count, const char *const *metadata, struct error *e);
/* The same by file_writer_commit_unsynced. */
int safetensors_write_unsynced(const char *path, const struct tensor *tensors, size_t count, const char *const *metadata,
                               struct error *e);
