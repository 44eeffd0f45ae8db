/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/device/cuda/columns.cuh"

KERNEL void total(float *to, const float *parts, size_t count, size_t C)
{
    size_t c = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= C)
        return;
    float sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += parts[i * C + c];
    to[c] = sum;
}

void columns_total(struct cuda *c, float *to, const float *parts, size_t count, size_t C)
{
    LAUNCH_THREADS(c, total, C, to, parts, count, C);
}
