/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a second stream with its marks, and the sum of what ranks have sent each other. */
#include "worker/device/cuda/cuda_device.h"

extern "C" {
#include "worker/device/gpu_stream.h"
}

#include "worker/device/cuda/runtime.cuh"

#include <stdio.h>
#include <stdlib.h>

enum { MARKS = 512 };

struct gpu_stream {
    cudaStream_t stream;
    cudaEvent_t asked; /* of one stream, for the other to wait for */
    cudaEvent_t marks[MARKS];
    uint64_t made, passed;
    float *scratch;
};

static int check(cudaError_t status, const char *what, struct error *e)
{
    if (status == cudaSuccess)
        return 0;
    return error_set(e, ERROR_FAILED, "cuda: %s: %s", what, cudaGetErrorString(status));
}

int gpu_stream_create(struct gpu_stream **ret, size_t scratch, struct error *e)
{
    struct gpu_stream *s = (struct gpu_stream *)calloc(1, sizeof *s);
    if (!s)
        return error_set(e, ERROR_FAILED, "out of memory");
    int failed = check(cudaStreamCreateWithFlags(&s->stream, cudaStreamNonBlocking), "a stream for sums", e) ||
                 check(cudaEventCreateWithFlags(&s->asked, cudaEventDisableTiming), "an event", e) ||
                 check(cudaMalloc((void **)&s->scratch, scratch * sizeof(float)), "memory for sums", e);
    for (int i = 0; i < MARKS && !failed; i++)
        failed = check(cudaEventCreateWithFlags(&s->marks[i], cudaEventDisableTiming), "an event", e);
    if (failed) {
        gpu_stream_destroy(&s);
        return -1;
    }
    *ret = s;
    return 0;
}

void gpu_stream_destroy(struct gpu_stream **stream)
{
    struct gpu_stream *s = stream ? *stream : NULL;
    if (!s)
        return;
    if (s->stream)
        cudaStreamSynchronize(s->stream);
    for (int i = 0; i < MARKS; i++)
        if (s->marks[i])
            cudaEventDestroy(s->marks[i]);
    if (s->asked)
        cudaEventDestroy(s->asked);
    if (s->stream)
        cudaStreamDestroy(s->stream);
    cudaFree(s->scratch);
    free(s);
    *stream = NULL;
}

void *gpu_stream_handle(struct gpu_stream *s)
{
    return s->stream;
}

float *gpu_stream_scratch(struct gpu_stream *s)
{
    return s->scratch;
}

static int put_behind(struct gpu_stream *s, cudaStream_t first, cudaStream_t then, struct error *e)
{
    return check(cudaEventRecord(s->asked, first), "an event", e) || check(cudaStreamWaitEvent(then, s->asked, 0), "an event", e)
               ? -1
               : 0;
}

int gpu_stream_follow(struct gpu_stream *s, struct device *d, struct error *e)
{
    return put_behind(s, cuda_of(d)->stream, s->stream, e);
}

int gpu_stream_lead(struct gpu_stream *s, struct device *d, struct error *e)
{
    return put_behind(s, s->stream, cuda_of(d)->stream, e);
}

void gpu_stream_watch(struct device *d, int (*look)(void *context, struct error *e), void *context)
{
    cuda_of(d)->beside = look;
    cuda_of(d)->beside_context = context;
}

bool gpu_stream_full(const struct gpu_stream *s)
{
    return s->made - s->passed == MARKS;
}

int gpu_stream_mark(struct gpu_stream *s, struct error *e)
{
    if (check(cudaEventRecord(s->marks[s->made % MARKS], s->stream), "an event", e))
        return -1;
    s->made++;
    return 0;
}

int gpu_stream_passed(uint64_t *ret, struct gpu_stream *s, struct error *e)
{
    while (s->passed < s->made) {
        cudaError_t status = cudaEventQuery(s->marks[s->passed % MARKS]);
        if (status == cudaErrorNotReady)
            break;
        if (check(status, "a sum of gradients", e))
            return -1;
        s->passed++;
    }
    *ret = s->passed;
    return 0;
}

/* Ranks beyond the largest power of two are added to rank - power first; then partners differ in the highest bit first. */
KERNEL void ranks_added(float *own, float *parts, size_t stride, int rank, int n, int power, size_t count)
{
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count)
        return;
    for (int half = power; half; half /= 2)
        for (int r = 0; r < half && r + half < n; r++) {
            float *to = r == rank ? own : parts + r * stride;
            const float *from = r + half == rank ? own : parts + (r + half) * stride;
            to[i] += from[i];
        }
    if (rank)
        own[i] = parts[i];
}

int gpu_stream_add(struct gpu_stream *s, float *own, float *parts, size_t stride, int rank, int n, size_t count, struct error *e)
{
    int power = 1;
    while (power * 2 <= n)
        power *= 2;
    if (count)
        LAUNCH(ranks_added, dim3((unsigned)((count + 255) / 256)), dim3(256), s->stream, own, parts, stride, rank, n, power,
               count);
    return check(cudaGetLastError(), "a sum of gradients", e);
}

int gpu_stream_name(char name[256], struct error *e)
{
    struct cudaDeviceProp p;
    int device = 0;
    if (check(cudaGetDevice(&device), "the GPU", e) || check(cudaGetDeviceProperties(&p, device), "the GPU", e))
        return -1;
    snprintf(name, 256, "%s", p.name);
    return 0;
}
