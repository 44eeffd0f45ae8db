/* SPDX-License-Identifier: Apache-2.0 */
/* The tiles of AMX (Intel SDM, volume 1, chapter 18): eight registers of 16 rows of 64 bytes, named by constants. Where the
 * compiler has no such instructions but AMX_IN_C is set, plain C stands in for them, bit for bit: what is built of tiles runs,
 * and is tested, on every machine. HAS_AMX: one of the two. */
#pragma once

#include "worker/device/kernels/vector.h"

#include <stdbool.h>

#define AMX_ROWS 16  /* of a tile */
#define AMX_BYTES 64 /* of its row: 16 floats, or 16 pairs of bf16 that are neighbours in depth */

#if defined(__AMX_BF16__) && defined(__AMX_TILE__)
#define HAS_AMX 1

struct amx_shapes {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} __attribute__((aligned(64)));

/* All eight are whole: tails are filled up with zeros, as another configuration would cost more. */
static const struct amx_shapes amx_whole __attribute__((unused)) = {
    .palette = 1, .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64}, .rows = {16, 16, 16, 16, 16, 16, 16, 16}};

/* GCC 12 does not tell the compiler that tiles read memory. */
#define AMX_MEMORY __asm__ volatile("" ::: "memory")

#define amx_begin() _tile_loadconfig(&amx_whole) /* of this thread, until amx_end */
#define amx_end() _tile_release()
#define amx_zero(tile) _tile_zero(tile)
#define amx_load(tile, from, stride) /* rows are `stride` bytes apart */                                                         \
    do {                                                                                                                         \
        AMX_MEMORY;                                                                                                              \
        _tile_loadd(tile, from, stride);                                                                                         \
    } while (0)
#define amx_load_once(tile, from, stride) /* past the nearest cache */                                                           \
    do {                                                                                                                         \
        AMX_MEMORY;                                                                                                              \
        _tile_stream_loadd(tile, from, stride);                                                                                  \
    } while (0)
#define amx_store(tile, to, stride) _tile_stored(tile, to, stride)
/* sums (16 x 16 floats) += a (16 rows x 32 bf16) b (16 rows of depth, two bf16 each, x 16 columns) */
#define amx_dot(sums, a, b) _tile_dpbf16ps(sums, a, b)

#elif AMX_IN_C
#define HAS_AMX 1

static _Thread_local uint8_t amx_tiles[8][AMX_ROWS][AMX_BYTES];

#define amx_begin() memset(amx_tiles, 0, sizeof amx_tiles)
#define amx_end() memset(amx_tiles, 0xff, sizeof amx_tiles) /* NaN */
#define amx_zero(tile) memset(amx_tiles[tile], 0, sizeof amx_tiles[tile])

INLINE void amx_load(int tile, const void *from, size_t stride)
{
    for (size_t r = 0; r < AMX_ROWS; r++)
        memcpy(amx_tiles[tile][r], (const char *)from + r * stride, AMX_BYTES);
}

#define amx_load_once amx_load

INLINE void amx_store(int tile, void *to, size_t stride)
{
    for (size_t r = 0; r < AMX_ROWS; r++)
        memcpy((char *)to + r * stride, amx_tiles[tile][r], AMX_BYTES);
}

/* Sums of even and of odd elements apart, then both to what was there. A product of two bf16 is exact in a float. */
INLINE void amx_dot(int sums, int a, int b)
{
    for (size_t m = 0; m < AMX_ROWS; m++) {
        float even[16] = {0}, odd[16] = {0}, row[16];
        bf16 x[32], y[32];
        memcpy(x, amx_tiles[a][m], sizeof x);
        for (size_t k = 0; k < 16; k++) {
            memcpy(y, amx_tiles[b][k], sizeof y);
            for (size_t n = 0; n < 16; n++) {
                even[n] += bf16_to_float(x[2 * k]) * bf16_to_float(y[2 * n]);
                odd[n] += bf16_to_float(x[2 * k + 1]) * bf16_to_float(y[2 * n + 1]);
            }
        }
        memcpy(row, amx_tiles[sums][m], sizeof row);
        for (size_t n = 0; n < 16; n++)
            row[n] += even[n] + odd[n];
        memcpy(amx_tiles[sums][m], row, sizeof row);
    }
}
#endif

#ifdef HAS_AMX
/* Two by two tiles of a product; rows, steps of depth and second tiles are so many bytes apart. */
struct amx_block {
    float *c;
    const char *a, *b;
    size_t c_row, a_row, a_step, a_second, b_row, b_step, b_second, steps;
};

/* c = or += a b. low, right: with the second tiles of rows, of columns. once: b is not to stay in the nearest cache. */
INLINE void amx_multiply(const struct amx_block *p, const bool add, const bool low, const bool right, const bool once)
{
    const char *a = p->a, *b = p->b;
    float *c = p->c, *c_low = c + AMX_ROWS * (p->c_row / sizeof *c);
    amx_zero(0);
    amx_zero(1);
    amx_zero(2);
    amx_zero(3);
    if (add) {
        amx_load(0, c, p->c_row);
        if (right)
            amx_load(1, c + AMX_ROWS, p->c_row);
        if (low)
            amx_load(2, c_low, p->c_row);
        if (low && right)
            amx_load(3, c_low + AMX_ROWS, p->c_row);
    }
    for (size_t step = 0; step < p->steps; step++, a += p->a_step, b += p->b_step) {
        if (once)
            amx_load_once(6, b, p->b_row);
        else
            amx_load(6, b, p->b_row);
        amx_load(4, a, p->a_row);
        amx_dot(0, 4, 6);
        if (right) {
            if (once)
                amx_load_once(7, b + p->b_second, p->b_row);
            else
                amx_load(7, b + p->b_second, p->b_row);
            amx_dot(1, 4, 7);
        }
        if (low) {
            amx_load(5, a + p->a_second, p->a_row);
            amx_dot(2, 5, 6);
        }
        if (low && right)
            amx_dot(3, 5, 7);
    }
    amx_store(0, c, p->c_row);
    if (right)
        amx_store(1, c + AMX_ROWS, p->c_row);
    if (low)
        amx_store(2, c_low, p->c_row);
    if (low && right)
        amx_store(3, c_low + AMX_ROWS, p->c_row);
}
#else
#define amx_begin() ((void)0) /* one source serves both */
#define amx_end() ((void)0)
#endif
