/* SPDX-License-Identifier: Apache-2.0 */
/* NumPy's legacy RandomState (MT19937), as far as a split needs it: RandomState(seed).shuffle(list). */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct numpy_random {
    uint32_t state[624];
    int position;
};

void numpy_random_seed(struct numpy_random *r, uint32_t seed);
uint32_t numpy_random_interval(struct numpy_random *r, uint32_t max);             /* legacy masked rejection: 0..max inclusive */
void numpy_random_shuffle(struct numpy_random *r, uint32_t *items, size_t count); /* as RandomState.shuffle on a list */
