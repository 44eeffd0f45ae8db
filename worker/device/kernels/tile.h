/* SPDX-License-Identifier: Apache-2.0 */
/* Small matrix products inside caches, for attention: c (rows x columns) = or += a (rows x depth) b (depth x columns), sums in
 * float. Elements of a and b are units of 32 bits: a float, or, where there is a bf16 dot product, two bf16 that are neighbours
 * in depth (TILE_OF_FLOATS: never). Columns are whole vectors; a is walked with any strides, so that it may be the transpose of
 * what is stored. */
#pragma once

#include "worker/device/kernels/amx.h"

#if ACT_IS_BF16 && (LANES == 16 && defined(__AVX512BF16__) || defined(HAS_AMX)) && !defined(TILE_OF_FLOATS)
#define UNIT_HOLDS 2
typedef uint32_t __attribute__((may_alias)) unit;
typedef bf16 cell; /* what a unit is made of */
#else
#define UNIT_HOLDS 1
typedef float __attribute__((may_alias)) unit;
typedef float cell;
#endif

struct product {
    float *c;
    const unit *a, *b;
    size_t c_row, a_row, a_step, b_step; /* strides: of rows, and of steps in depth */
    size_t depth;
    int add;
};

#if defined(HAS_AMX) && UNIT_HOLDS == 2
/* Up to 32 rows and columns: a_step 1. */
INLINE void multiply_block(const struct product *p, const bool low, const bool right)
{
    amx_multiply(&(struct amx_block){.c = p->c,
                                     .c_row = p->c_row * sizeof(float),
                                     .a = (const char *)p->a,
                                     .a_row = p->a_row * sizeof(unit),
                                     .a_step = AMX_BYTES,
                                     .a_second = AMX_ROWS * p->a_row * sizeof(unit),
                                     .b = (const char *)p->b,
                                     .b_row = p->b_step * sizeof(unit),
                                     .b_step = AMX_ROWS * p->b_step * sizeof(unit),
                                     .b_second = AMX_BYTES,
                                     .steps = (p->depth + AMX_ROWS - 1) / AMX_ROWS},
                 p->add, low, right, false);
}

/* The whole product, rows up to whole tiles; depth and columns are whole tiles. */
INLINE void multiply(struct product p, size_t rows, size_t columns)
{
    for (size_t r = 0; r < rows; r += 2 * AMX_ROWS)
        for (size_t c = 0; c < columns; c += 2 * AMX_ROWS) {
            struct product part = p;
            bool low = r + AMX_ROWS < rows, right = c + AMX_ROWS < columns;
            part.c += r * p.c_row + c;
            part.a += r * p.a_row;
            part.b += c;
            if (low && right)
                multiply_block(&part, true, true);
            else if (right)
                multiply_block(&part, false, true);
            else
                multiply_block(&part, low, false);
        }
}
#else
#define TILE_ROWS 6
#if LANES == 16
#define TILE_VECTORS 4 /* 24 sums, 4 of b, 1 of a in 32 registers */
#else
#define TILE_VECTORS 2 /* 12 sums, 2 of b, 1 of a in 16 registers */
#endif

INLINE vector unit_step(vector sum, const unit *a, const unit *b)
{
#if UNIT_HOLDS == 2
    return _mm512_dpbf16_ps(sum, (__m512bh)_mm512_set1_epi32((int)*a), (__m512bh)_mm512_loadu_si512(b));
#else
    return multiply_add(splat(*a), load(b), sum);
#endif
}

INLINE void tile(const struct product *p, const int rows, const int vectors)
{
    vector sums[TILE_ROWS][TILE_VECTORS];
    const unit *a[TILE_ROWS], *b = p->b;
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++) {
        a[r] = p->a + (size_t)r * p->a_row;
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            sums[r][v] = p->add ? load(p->c + (size_t)r * p->c_row + (size_t)v * LANES) : splat(0);
    }
    for (size_t k = 0, at = 0; k < p->depth; k++, at += p->a_step, b += p->b_step)
#pragma GCC unroll 6
        for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++)
                sums[r][v] = unit_step(sums[r][v], a[r] + at, b + v * LANES);
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            store(p->c + (size_t)r * p->c_row + (size_t)v * LANES, sums[r][v]);
}

#define TILE(rows, vectors)                                                                                                      \
    static void tile_##rows##_##vectors(const struct product *p)                                                                 \
    {                                                                                                                            \
        tile(p, rows, vectors);                                                                                                  \
    }
#define TILES(vectors) TILE(1, vectors) TILE(2, vectors) TILE(3, vectors) TILE(4, vectors) TILE(5, vectors) TILE(6, vectors)
#define TILE_LIST(vectors)                                                                                                       \
    {                                                                                                                            \
        tile_1_##vectors, tile_2_##vectors, tile_3_##vectors, tile_4_##vectors, tile_5_##vectors, tile_6_##vectors               \
    }

TILES(1)
TILES(2)
#if TILE_VECTORS == 4
TILES(3)
TILES(4)
static void (*const tiles[TILE_VECTORS][TILE_ROWS])(const struct product *p) = {TILE_LIST(1), TILE_LIST(2), TILE_LIST(3),
                                                                                TILE_LIST(4)};
#else
static void (*const tiles[TILE_VECTORS][TILE_ROWS])(const struct product *p) = {TILE_LIST(1), TILE_LIST(2)};
#endif

#define DEPTH 96 /* steps whose part of b stays in the nearest cache while rows of a go by */

static void multiply_panel(const struct product *p, size_t rows, size_t vectors)
{
    for (size_t r = 0; r < rows; r += TILE_ROWS) {
        size_t count = rows - r < TILE_ROWS ? rows - r : TILE_ROWS;
        struct product part = *p;
        part.c += r * p->c_row;
        part.a += r * p->a_row;
        tiles[vectors - 1][count - 1](&part);
    }
}

/* The whole product. Each sum is made in order of depth, however depth is cut. */
INLINE void multiply(struct product p, size_t rows, size_t columns)
{
    for (size_t c = 0; c < columns; c += TILE_VECTORS * LANES) {
        size_t vectors = (columns - c) / LANES, k = 0;
        do {
            struct product part = p;
            part.c += c;
            part.a += k * p.a_step;
            part.b += k * p.b_step + c;
            part.depth = p.depth - k < DEPTH ? p.depth - k : DEPTH;
            part.add = p.add || k > 0;
            multiply_panel(&part, rows, vectors < TILE_VECTORS ? vectors : TILE_VECTORS);
        } while ((k += DEPTH) < p.depth);
    }
}
#endif
