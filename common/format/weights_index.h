/* SPDX-License-Identifier: Apache-2.0 */
/* Weights in several files ("shards") next to each other, as their index names them: model.safetensors.index.json or
 * pytorch_model.bin.index.json, {"weight_map": {TENSOR: FILE}}. */
#pragma once

#include "common/base/sha256.h"
#include "common/format/tensor_file_builder.h"

bool weights_index_recognise(const char *path); /* by its name */
/* The tensors of all files as one; open_file reads one of them. ERROR_DATA: the index is broken, names a file that is missing or
 * cannot be read, or a tensor that its file does not hold. */
int weights_index_open(struct tensor_file **ret, const char *path,
                       int (*open_file)(struct tensor_file **ret, const char *path, struct error *e), struct error *e);
/* SHA-256 of the weights at `path`: of the file or, of an index, of the digests of all its files by name. */
int weights_sha256(const char *path, char text[SHA256_HEX], struct error *e);
