/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that is given out piece by piece and freed all at once: the texts of many rows. What is too much (memory_bound_take)
 * goes to a temporary file without a name (of TMPDIR) and is mapped from there, at the same address; where that cannot be, it
 * stays in memory. One thread gives out; texts may be read by any. */
#pragma once

#include <stddef.h>

struct arena;

void arena_create(struct arena **ret);
void arena_destroy(struct arena **a);
char *arena_string(struct arena *a, const void *bytes, size_t size); /* a copy with a NUL behind; lives until destroy; not to be
                                                                      * written to once another is given out */
/* What lies in the file need not stay resident for now, whoever reads meanwhile. */
void arena_rest(const struct arena *a);
