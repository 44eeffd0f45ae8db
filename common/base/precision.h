/* SPDX-License-Identifier: Apache-2.0 */
/* Number formats of activations and matrix products: the one list of them. Master weights, moments and sums are f32 in any case.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum precision { PRECISION_F32, PRECISION_BF16, PRECISION_TF32 /* f32; products of f32 rounded to 10 bits: on GPUs alone */ };

#define PRECISIONS 3
extern const char *const precision_names[PRECISIONS + 1]; /* "f32", "bf16", "tf32", NULL */

int precision_find(const char *name); /* its enum precision; -1: unknown */

static inline bool precision_is_narrow(enum precision p) /* activations are, and weights have a rounded copy */
{
    return p == PRECISION_BF16;
}

static inline size_t precision_bytes(enum precision p)
{
    return precision_is_narrow(p) ? 2 : 4;
}
