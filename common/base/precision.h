/* SPDX-License-Identifier: Apache-2.0 */
/* Number formats of activations and matrix products: the one list of them. Master weights, moments and sums are f32 in any case.
 */
#pragma once

#include <stddef.h>

enum precision { PRECISION_F32, PRECISION_BF16 };

#define PRECISIONS 2
extern const char *const precision_names[PRECISIONS + 1]; /* "f32", "bf16", NULL */

int precision_find(const char *name); /* its enum precision; -1: unknown */

static inline size_t precision_bytes(enum precision p)
{
    return p == PRECISION_BF16 ? 2 : 4;
}
