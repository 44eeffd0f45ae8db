/* SPDX-License-Identifier: Apache-2.0 */
/* Tensors of a pretrained model by the names that transformers gives them, in whatever spelling the checkpoint has. */
#pragma once

#include "common/format/tensor_file.h"

/* The tensor that transformers names `name` ("bert.encoder...", "classifier.weight"), as checkpoints in circulation name it: the
 * family's prefix ("bert.") left out; "module." (DataParallel) or "model." (a wrapper's attribute) before it; LayerNorm's gamma
 * and beta. NULL if absent. */
const struct tensor *pretrained_find(const struct tensor_file *f, const char *prefix, const char *name);
/* ERROR_DATA for what pretrained_find did not find in the file at `path`; names an unknown prefix, such as "0.auto_model.". -1.
 */
int pretrained_refuse_missing(const struct tensor_file *f, const char *prefix, const char *name, const char *path,
                              struct error *e);
