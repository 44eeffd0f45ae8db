/* SPDX-License-Identifier: Apache-2.0 */
/* What a file is by its first bytes, where it is something that Muster does not read: so that a refusal can say so and tell how
 * to convert it. */
#pragma once

#include "common/base/error.h"

#include <stddef.h>

/* ERROR_DATA "path: is a Parquet file; ..." for a known kind that is neither text nor weights; 0 for everything else. `size`
 * bytes from the start of the file; 512 are enough. */
int file_kind_check(const char *path, const char *data, size_t size, struct error *e);
/* The same of a file's own first bytes; 0 where it cannot be read: whoever opens it next says why. */
int file_kind_check_file(const char *path, struct error *e);
