/* SPDX-License-Identifier: Apache-2.0 */
/* What the operations of the cuda device share. They are C++ for nvcc's sake, and C to their callers. */
#pragma once

#ifdef __cplusplus
extern "C" {
#endif
#include "worker/device/cuda/cuda.h"
#ifdef __cplusplus
}
#endif

#include "worker/device/cuda/dropout.cuh"

/* Memory that grows with what is asked of it. */
struct held {
    void *at;
    size_t size;
};

struct cuda {
    struct device base;
    cudaStream_t stream;        /* all that the device is asked for, in order */
    struct held scratch, pairs; /* pairs: keys and values that are made on the way, and their gradients */
    struct ring *ring;          /* of uploads */
    struct later *later;        /* downloads that nobody waits for, and marks */
    struct matmul *matmul;      /* matmul.h */
    int (*beside)(void *context, struct error *e); /* gpu_stream_watch; NULL: nothing */
    void *beside_context;
    bool silent;                /* it did not answer in time: nothing waits for it any more */
    bool failed;                /* what came first is in failure; nothing runs until finish has told it */
    struct error failure;
};

/* The first failure sticks. */
void cuda_fail(struct cuda *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* y = activation(pre), of n elements; y may be pre. */
void cuda_activate(struct cuda *c, device_memory y, device_memory pre, enum activation activation, size_t n);

/* f of the device's act type: f<bf16>(...) or f<float>(...). */
#define BY_ACT(c, f, ...) (cuda_half(c) ? f<bf16>(__VA_ARGS__) : f<float>(__VA_ARGS__))

/* A thread, or a warp, for each of `count`; blocks of 256 threads. */
#define LAUNCH_THREADS(c, kernel, count, ...) LAUNCH_BLOCKS(c, kernel, ((size_t)(count) + 255) / 256, __VA_ARGS__)
#define LAUNCH_WARPS(c, kernel, count, ...) LAUNCH_BLOCKS(c, kernel, ((size_t)(count) + 7) / 8, __VA_ARGS__)
#define LAUNCH_BLOCKS(c, kernel, count, ...)                                                                                     \
    do {                                                                                                                         \
        size_t blocks = count;                                                                                                   \
        if (blocks && !(c)->failed)                                                                                              \
            LAUNCH(kernel, dim3((unsigned)blocks), dim3(256), (c)->stream, __VA_ARGS__);                                         \
    } while (0)

/* What an operation writes on the way: bytes, 256-byte aligned, until the next call. Not zeroed. NULL: there is no memory, which
 * sticks. */
void *cuda_scratch(struct cuda *c, size_t bytes);
void *cuda_pairs(struct cuda *c, size_t bytes); /* likewise, beside it */
void cuda_zero(struct cuda *c, void *at, size_t bytes);

static inline struct cuda *cuda_of(struct device *d)
{
    return (struct cuda *)d;
}

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
