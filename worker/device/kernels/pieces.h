/* Functions of the gelu kind as polynomials on pieces of their argument. g(x) + g(-x) = 1 for each: the normal distribution, its
 * tanh form, and the slopes of gelu and gelu_new; so the pieces are of g(-a), a = 0..PIECES_END, and what is behind the end is 0.
 */
#pragma once

#include "common/format/model_config.h"

#define PIECES 32 /* as many as two AVX-512 registers hold, for a permutation to look up */
#define PIECE_TERMS 5
#define PIECES_END 6.0f

struct pieces {
    float terms[PIECE_TERMS][PIECES]; /* g(-a), a in piece k: the sum of terms[i][k] t^i, t = 0..1 within the piece */
};

enum { PIECES_GATE, PIECES_SLOPE, PIECES_KINDS };
extern struct pieces pieces[2][PIECES_KINDS]; /* gelu, gelu_new; filled by pieces_prepare() */

void pieces_prepare(void); /* once or more, from any thread */
