/* SPDX-License-Identifier: Apache-2.0 */
/* Reader of the safetensors format (8 bytes of header size, a JSON header, the tensors without gap or overlap); the writer
 * is in tensor_file.h. */
#pragma once

#include "common/format/tensor_file_builder.h"

#define SAFETENSORS_HEADER_LIMIT 100000000 /* bytes; the limit of the reference implementation */

bool safetensors_recognise(const void *bytes, size_t size);
int safetensors_read(struct tensor_file *f, const void *bytes, size_t size, const char *place, struct error *e);
