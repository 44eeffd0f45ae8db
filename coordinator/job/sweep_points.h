/* SPDX-License-Identifier: Apache-2.0 */
/* Points of a sweep: every combination in turn, or drawn at random. */
#pragma once

#include "common/json/json.h"

#include <stdint.h>

/* Combinations of the lists, at most `most` + 1. 0 where nothing is swept. */
size_t sweep_grid_size(const struct json *sweep, size_t most);
/* The n-th combination, the last key fastest: key -> value. Caller destroys. */
struct json *sweep_grid_point(const struct json *sweep, size_t n);
/* The n-th draw of this seed: a value of each list or range, by Philox, so that a draw depends on no other draw and no key on the
 * other keys. Of a range uniform, or its logarithm is; whole numbers where the key has them, else rounded to 4 digits so that the
 * trial's key can be read. Caller destroys. */
struct json *sweep_random_point(const struct json *sweep, uint64_t seed, uint32_t n);
