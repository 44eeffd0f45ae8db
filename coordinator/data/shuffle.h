/* SPDX-License-Identifier: Apache-2.0 */
/* Orders that depend on a seed and on the numbers alone. Pure functions. */
#pragma once

#include "common/base/philox.h"

#include <stddef.h>

/* Sorts `numbers` (count) by the key that Philox gives each: (number, salt, 0, 0) of `purpose`; equal keys by the number. */
void shuffle_numbers(uint32_t *numbers, size_t count, uint64_t seed, enum random_purpose purpose, uint32_t salt);
/* Of 0 to count - 1: the place of each after shuffle_numbers. Caller frees. */
uint32_t *shuffle_ranks(uint32_t count, uint64_t seed, enum random_purpose purpose, uint32_t salt);
