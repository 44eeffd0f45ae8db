/* SPDX-License-Identifier: Apache-2.0 */
/* Functions of the gelu kind as a table of polynomials, one per segment of the argument. g(x) + g(-x) = 1 for each: the normal
 * distribution, its tanh form, and the slopes of gelu and gelu_new; so the table is of g(-a), a = 0..GELU_END, and what is behind
 * the end is 0.
 */
#pragma once

#include "common/format/model_config.h"

#define GELU_SEGMENTS 32 /* as many as two AVX-512 registers hold, for a permutation to look up */
#define GELU_TERMS 5
#define GELU_END 6.0f

struct gelu_table {
    float terms[GELU_TERMS][GELU_SEGMENTS]; /* g(-a), a in segment k: the sum of terms[i][k] t^i, t = 0..1 within the segment */
};

enum { GELU_GATE, GELU_SLOPE, GELU_FUNCTIONS };
extern struct gelu_table gelu_tables[2][GELU_FUNCTIONS]; /* gelu, gelu_new; filled by gelu_tables_prepare() */

void gelu_tables_prepare(void); /* once or more, from any thread */
