/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that is given out piece by piece and freed all at once: the texts of many rows. */
#pragma once

#include <stddef.h>

struct arena;

void arena_create(struct arena **ret);
void arena_destroy(struct arena **a);
char *arena_string(struct arena *a, const void *bytes, size_t size); /* a copy with a NUL behind; lives until destroy */
