/* SPDX-License-Identifier: Apache-2.0 */
/* Sums down columns, in one order: a block of threads takes 256 columns and a part of the rows, each of its warps every eighth
 * row of it; then warps are added in order, and by a second kernel parts, in the same manner.
 *
 * What is summed is an F: enum { SUMS }, and `void operator()(float x[SUMS][8], size_t row, size_t c) const`, which gives eight
 * columns of each sum; 0 behind the last column. */
#pragma once

#include "worker/device/cuda/cuda_device.h"
#include "worker/device/cuda/octet.cuh"

enum { COLUMNS_WARPS = 8, COLUMNS_WIDTH = 256, COLUMNS_ROWS = 128 };

/* From what each lane of each warp has, its eight columns of 256: thread t gets the sums over the warps of column t. By all
 * threads of the block. */
template <int SUMS>
DEVICE void warps_sums(float sums[SUMS], const float mine[SUMS][8])
{
    SHARED(float, of_warps, SUMS *COLUMNS_WARPS *COLUMNS_WIDTH);
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    barrier(); /* of a call before */
    UNROLL for (int i = 0; i < SUMS * 8; i++) of_warps[(warp * SUMS + i / 8) * COLUMNS_WIDTH + i % 8 * 32 + lane] =
        mine[i / 8][i % 8];
    barrier();
    UNROLL for (int s = 0; s < SUMS; s++)
    {
        sums[s] = 0;
        for (int w = 0; w < COLUMNS_WARPS; w++)
            sums[s] += of_warps[(w * SUMS + s) * COLUMNS_WIDTH + threadIdx.x % 8 * 32 + threadIdx.x / 8];
    }
}

/* Rows from..to - 1 by this block: thread t gets the sums of column t of the block's. */
template <typename F>
DEVICE void block_sums(float sums[F::SUMS], const F &of, size_t from, size_t to, size_t C)
{
    float mine[F::SUMS][8] = {};
    size_t c = (size_t)blockIdx.x * COLUMNS_WIDTH + threadIdx.x % 32 * 8;
    for (size_t row = from + threadIdx.x / 32; c < C && row < to; row += COLUMNS_WARPS) {
        float x[F::SUMS][8];
        of(x, row, c);
        UNROLL for (int i = 0; i < F::SUMS * 8; i++) mine[i / 8][i % 8] += x[i / 8][i % 8];
    }
    warps_sums<F::SUMS>(sums, mine);
}

template <typename F>
KERNEL void columns_parts(float *parts /* (SUMS, gridDim.y, C) */, F of, size_t N, size_t C)
{
    size_t from = (size_t)blockIdx.y * COLUMNS_ROWS, to = from + COLUMNS_ROWS < N ? from + COLUMNS_ROWS : N;
    size_t c = (size_t)blockIdx.x * COLUMNS_WIDTH + threadIdx.x;
    float sums[F::SUMS];
    block_sums(sums, of, from, to, C);
    for (int s = 0; s < F::SUMS && c < C; s++)
        parts[((size_t)s * gridDim.y + blockIdx.y) * C + c] = sums[s];
}

enum { COLUMNS_SUMS = 2 /* at most, at once */ };

/* Defined in columns.cu: to[s] (C) = sum of parts (SUMS, count, C), in one order; NULL: not wanted. */
void columns_totals(struct cuda *c, float *const *to, size_t sums, const float *parts, size_t count, size_t C);

static inline size_t columns_part_count(size_t N)
{
    return (N + COLUMNS_ROWS - 1) / COLUMNS_ROWS;
}

/* Floats of scratch that columns_sum takes. */
static inline size_t columns_scratch(size_t sums, size_t N, size_t C)
{
    return sums * columns_part_count(N) * C;
}

/* to[s] (C) = sum s over all N rows; NULL: not wanted. */
template <typename F>
static void columns_sum(struct cuda *c, float *const to[F::SUMS], const F &of, float *scratch, size_t N, size_t C)
{
    size_t parts = columns_part_count(N);
    dim3 grid((unsigned)((C + COLUMNS_WIDTH - 1) / COLUMNS_WIDTH), (unsigned)parts);
    if (parts && C && !c->failed)
        LAUNCH(columns_parts<F>, grid, dim3(32 * COLUMNS_WARPS), c->stream, scratch, of, N, C);
    columns_totals(c, to, F::SUMS, scratch, parts, C);
}

/* The sum of a matrix's rows. */
template <typename A>
struct columns_of {
    enum { SUMS = 1 };
    const A *x;
    size_t C;
    DEVICE void operator()(float sums[1][8], size_t row, size_t c) const
    {
        load_octet(sums[0], x + row * C, c, C);
    }
};
