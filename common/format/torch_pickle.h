/* SPDX-License-Identifier: Apache-2.0 */
/* Readers of torch.save's two formats: the zip archive (PyTorch 1.6 and later) and the run of pickles of before. Nothing in
 * the file is executed: a pickle may name only the few things that tensors are made of, and anything else is refused by
 * its name. Tensors that are not row-major in their storage (transposed, sliced) are copied into row-major order. */
#pragma once

#include "common/format/tensor_file_builder.h"

bool torch_zip_recognise(const void *bytes, size_t size);
int torch_zip_read(struct tensor_file *f, const void *bytes, size_t size, const char *place, struct error *e);

bool torch_legacy_recognise(const void *bytes, size_t size);
int torch_legacy_read(struct tensor_file *f, const void *bytes, size_t size, const char *place, struct error *e);
