/* SPDX-License-Identifier: Apache-2.0 */
/* What the ranks of a communicator's tests share: how one says what is wrong, and what is summed. */
#pragma once

#include <stdint.h>
#include <stdio.h>

#define REQUIRE(condition, ...)                                                                                                  \
    do {                                                                                                                         \
        if (!(condition)) {                                                                                                      \
            printf("rank %d: ", c->rank);                                                                                        \
            printf(__VA_ARGS__);                                                                                                 \
            printf(" (%s:%d)\n", __FILE__, __LINE__);                                                                            \
            return -1;                                                                                                           \
        }                                                                                                                        \
    } while (0)

/* Values whose sums round differently in every order. */
static inline float sample(int rank, size_t i)
{
    uint32_t x = (uint32_t)rank * 2654435761u + (uint32_t)i * 40503u + 12345u;
    x ^= x >> 15;
    x *= 2246822519u;
    x ^= x >> 13;
    return ((float)(x & 0xffffff) / 8388608.0f - 1.0f) * (float)(1 << (x >> 28));
}
