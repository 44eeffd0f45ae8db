/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/device/cuda/columns.cuh"

struct totals {
    float *to[COLUMNS_SUMS];
};

/* A block 32 columns of a sum: each warp every eighth part, then warps in order. */
KERNEL void total(struct totals t, const float *parts, size_t count, size_t C)
{
    SHARED(float, of_warps, COLUMNS_WARPS * 32);
    int lane = threadIdx.x % 32;
    size_t c = (size_t)blockIdx.x * 32 + lane;
    const float *from = parts + (size_t)blockIdx.y * count * C;
    float sum = 0;
    for (size_t i = threadIdx.x / 32; c < C && i < count; i += COLUMNS_WARPS)
        sum += from[i * C + c];
    of_warps[threadIdx.x] = sum;
    barrier();
    if (threadIdx.x >= 32 || c >= C || !t.to[blockIdx.y])
        return;
    sum = 0;
    for (int w = 0; w < COLUMNS_WARPS; w++)
        sum += of_warps[w * 32 + lane];
    t.to[blockIdx.y][c] = sum;
}

void columns_totals(struct cuda *c, float *const *to, size_t sums, const float *parts, size_t count, size_t C)
{
    struct totals t = {};
    for (size_t s = 0; s < sums; s++)
        t.to[s] = to[s];
    if (C && !c->failed)
        LAUNCH(total, dim3((unsigned)((C + 31) / 32), (unsigned)sums), dim3(32 * COLUMNS_WARPS), c->stream, t, parts, count, C);
}
