/* SPDX-License-Identifier: Apache-2.0 */
/* NumPy's legacy random numbers: MT19937 (Matsumoto and Nishimura, 1998) and RandomState's use of it. */
#include "common/base/numpy_random.h"

enum { STATE = 624, SHIFT = 397 };

void numpy_random_seed(struct numpy_random *r, uint32_t seed)
{
    r->state[0] = seed;
    for (uint32_t i = 1; i < STATE; i++)
        r->state[i] = 1812433253u * (r->state[i - 1] ^ r->state[i - 1] >> 30) + i;
    r->position = STATE;
}

static void generate(uint32_t *state)
{
    for (int i = 0; i < STATE; i++) {
        uint32_t y = (state[i] & 0x80000000u) | (state[(i + 1) % STATE] & 0x7fffffffu);
        state[i] = state[(i + SHIFT) % STATE] ^ y >> 1 ^ (y & 1 ? 0x9908b0dfu : 0);
    }
}

static uint32_t next(struct numpy_random *r)
{
    if (r->position == STATE) {
        generate(r->state);
        r->position = 0;
    }
    uint32_t y = r->state[r->position++];
    y ^= y >> 11;
    y ^= y << 7 & 0x9d2c5680u;
    y ^= y << 15 & 0xefc60000u;
    return y ^ y >> 18;
}

uint32_t numpy_random_interval(struct numpy_random *r, uint32_t max)
{
    uint32_t mask = max, value;
    if (!max)
        return 0; /* nothing is drawn */
    for (int shift = 1; shift < 32; shift *= 2)
        mask |= mask >> shift;
    do {
        value = next(r) & mask;
    } while (value > max);
    return value;
}

void numpy_random_shuffle(struct numpy_random *r, uint32_t *items, size_t count)
{
    for (size_t i = count; i-- > 1;) {
        uint32_t j = numpy_random_interval(r, (uint32_t)i), kept = items[i];
        items[i] = items[j];
        items[j] = kept;
    }
}
