/* SPDX-License-Identifier: Apache-2.0 */
/* Which parts of an encoder are not trained, by name: "embeddings", "layers.3", "layers.0-5" (both ends included). */
#pragma once

#include "common/base/error.h"

#include <stdbool.h>
#include <stdint.h>

/* names: separated by blanks; NULL: none. frozen (layers + 2), by bucket of model_tensors.h, is written whole. ERROR_USAGE with
 * the name and, where one is near, "did you mean". */
int freeze_read(bool *frozen, const char *names, uint32_t layers, struct error *e);
