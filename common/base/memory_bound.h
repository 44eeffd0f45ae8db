/* SPDX-License-Identifier: Apache-2.0 */
/* The memory by which it is decided what of the data stays in memory and what lies in temporary files (scratch.h, arena.h):
 * MUSTER_MEMORY in the environment, or a quarter of the machine's. All tables and texts of the process together stay in an eighth
 * of it. */
#pragma once

#include "common/base/error.h"

#include <stddef.h>
#include <stdint.h>

/* In bytes. MUSTER_MEMORY is a number of bytes, or of KB, MB or GB with a letter K, M or G behind it (powers of 1024). */
uint64_t memory_bound(void);
/* Whether so many bytes more may stay in memory, which then count until they are given back. Any thread. */
bool memory_bound_take(size_t bytes);
void memory_bound_count(size_t bytes); /* they stay in any case */
void memory_bound_give_back(size_t bytes);
int memory_bound_check(struct error *e); /* ERROR_USAGE: MUSTER_MEMORY is none of these; memory_bound then takes the default */
