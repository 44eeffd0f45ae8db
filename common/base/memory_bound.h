/* SPDX-License-Identifier: Apache-2.0 */
/* The memory by which it is decided what of the data stays in memory and what lies in temporary files (scratch.h, arena.h):
 * MUSTER_MEMORY in the environment, or a quarter of the machine's. */
#pragma once

#include "common/base/error.h"

#include <stdint.h>

/* In bytes. MUSTER_MEMORY is a number of bytes, or of KB, MB or GB with a letter K, M or G behind it (powers of 1024). */
uint64_t memory_bound(void);
int memory_bound_check(struct error *e); /* ERROR_USAGE: MUSTER_MEMORY is none of these; memory_bound then takes the default */
