/* SPDX-License-Identifier: Apache-2.0 */
/* Linear maps of few rows, such as those of one short text. What is spent on them is the way of w to where it can be multiplied:
 * a block of it is transposed inside the nearest cache, used for all rows, and forgotten. */
#define TILE_OF_FLOATS
#include "worker/device/kernels/names.h"
#include "worker/device/kernels/tile.h"
#include "worker/device/kernels/transpose.h"

enum { BLOCK = TILE_VECTORS * LANES };

/* to (depth,BLOCK) = rows of w, of which there are `columns`; zeros beside them. */
static void transpose_block(float *to, const struct few_rows *p, const float *w, size_t columns)
{
    for (size_t c = 0; c < BLOCK; c += LANES)
        for (size_t k = 0; k < p->depth; k += LANES) {
            if (c + LANES <= columns && k + LANES <= p->depth) {
                transpose_square(to + k * BLOCK + c, BLOCK, w + c * p->w_stride + k, p->w_stride);
                continue;
            }
            for (size_t i = k; i < k + LANES && i < p->depth; i++)
                for (size_t j = c; j < c + LANES; j++)
                    to[i * BLOCK + j] = j < columns ? w[j * p->w_stride + i] : 0;
        }
}

static void put(float *c, const float *sums, size_t columns, bool add)
{
    for (size_t j = 0; j < columns; j += LANES) {
        vector v = load(sums + j);
        store_most(c + j, add ? load_most(c + j, columns - j) + v : v, columns - j);
    }
}

void KERNEL(few_rows)(const struct few_rows *p)
{
    float block[FEW_ROWS_DEPTH * BLOCK] __attribute__((aligned(64))), sums[TILE_ROWS * BLOCK] __attribute__((aligned(64)));
    for (size_t c = 0; c < p->columns; c += BLOCK) {
        size_t columns = p->columns - c < BLOCK ? p->columns - c : BLOCK, vectors = (columns + LANES - 1) / LANES;
        transpose_block(block, p, p->w + c * p->w_stride, columns);
        for (size_t r = 0; r < p->rows; r += TILE_ROWS) {
            size_t rows = p->rows - r < TILE_ROWS ? p->rows - r : TILE_ROWS;
            const struct product part = {.c = sums,
                                         .a = p->x + r * p->x_stride,
                                         .b = block,
                                         .c_row = BLOCK,
                                         .a_row = p->x_stride,
                                         .a_step = 1,
                                         .b_step = BLOCK,
                                         .depth = p->depth};
            tiles[vectors - 1][rows - 1](&part);
            for (size_t i = 0; i < rows; i++)
                put(p->c + (r + i) * p->c_stride + c, sums + i * BLOCK, columns, p->add);
        }
    }
}
