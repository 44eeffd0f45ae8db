/* SPDX-License-Identifier: Apache-2.0 */
/* The memory by which tables over all rows are sized that can also be made in several passes (the search for near duplicates):
 * MUSTER_MEMORY in the environment, or a quarter of the machine's. Texts and rows themselves are not bounded by it. */
#pragma once

#include "common/base/error.h"

#include <stdint.h>

/* In bytes. MUSTER_MEMORY is a number of bytes, or of KB, MB or GB with a letter K, M or G behind it (powers of 1024). */
uint64_t memory_bound(void);
int memory_bound_check(struct error *e); /* ERROR_USAGE: MUSTER_MEMORY is none of these; memory_bound then takes the default */
