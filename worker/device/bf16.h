/* SPDX-License-Identifier: Apache-2.0 */
/* bfloat16: the upper half of a float. */
#pragma once

#include <stdint.h>
#include <string.h>

typedef uint16_t bf16;

static inline float bf16_to_float(bf16 x)
{
    uint32_t bits = (uint32_t)x << 16;
    float ret;
    memcpy(&ret, &bits, sizeof ret);
    return ret;
}

/* To nearest, ties to even; a NaN stays one. */
static inline bf16 bf16_from_float(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if ((bits & 0x7fffffff) > 0x7f800000)
        return (bf16)(bits >> 16 | 0x40);
    return (bf16)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
