/* SPDX-License-Identifier: Apache-2.0 */
/* What the operations of the cuda device share. They are C++ for nvcc's sake, and C to their callers. */
#pragma once

#ifdef __cplusplus
extern "C" {
#endif
#include "worker/device/device.h"
#ifdef __cplusplus
}
#endif

#include "worker/device/cuda/dropout.cuh"

struct cuda {
    struct device base;
    cudaStream_t stream; /* all that the device is asked for, in order */
    void *scratch;
    size_t scratch_size;
};

/* What an operation writes on the way: bytes, 256-byte aligned, until the next operation that asks. Not zeroed. */
void *cuda_scratch(struct cuda *c, size_t bytes);
void cuda_zero(struct cuda *c, void *at, size_t bytes);

static inline bool cuda_half(const struct cuda *c)
{
    return c->base.precision == PRECISION_BF16;
}

template <typename T>
static inline T *cuda_at(device_memory m)
{
    return (T *)m.address; /* NULL for DEVICE_NOTHING */
}

/* m, `elements` of act on. */
static inline void *cuda_behind(const struct cuda *c, device_memory m, size_t elements)
{
    return (char *)m.address + elements * (cuda_half(c) ? 2 : 4);
}

static inline struct dropout_mask cuda_dropout(const struct dropout *p)
{
    struct dropout_mask m = {};
    if (!p || !(p->probability > 0))
        return m;
    m.rows = cuda_at<const int>(p->rows);
    m.positions = cuda_at<const int>(p->positions);
    m.seed = p->seed;
    m.epoch = p->epoch;
    m.site = p->site;
    m.bound = dropout_bound(p->probability);
    m.scale = dropout_scale(p->probability);
    return m;
}
