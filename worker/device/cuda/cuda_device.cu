/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a GPU's memory, its stream, the ring that uploads go through, and what failed first. */
#include "worker/device/cuda/cuda_operations.h"

#include "worker/device/cuda/matmul.h"
#include "worker/device/cuda/runtime.cuh"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { SLOTS = 64, SLOT_BYTES = 256 << 10 };

/* Pinned memory that uploads are copied to, so that they return at once. */
struct ring {
    char *at;
    cudaEvent_t copied[SLOTS]; /* passed: the slot is free */
    size_t next;
};

static struct device_operations operations;

void cuda_fail(struct cuda *c, const char *format, ...)
{
    va_list arguments;
    if (c->failed)
        return;
    char text[sizeof c->failure.message];
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    error_set(&c->failure, ERROR_FAILED, "%s", text);
    c->failed = true;
}

/* False: it failed, which sticks. */
static bool done(struct cuda *c, cudaError_t status, const char *what)
{
    if (status == cudaSuccess)
        return true;
    cuda_fail(c, "cuda: %s: %s", what, cudaGetErrorString(status));
    return false;
}

static void *hold(struct cuda *c, struct held *h, size_t bytes)
{
    if (bytes > h->size) {
        cudaStreamSynchronize(c->stream); /* what runs may use the old one */
        cudaFree(h->at);
        *h = {};
        if (cudaMalloc(&h->at, bytes) != cudaSuccess) {
            h->at = NULL;
            cudaGetLastError();
            cuda_fail(c, "cuda: the GPU has no %zu MiB left for what an operation writes on the way; lower train.tokens_per_step",
                      bytes >> 20);
            return NULL;
        }
        h->size = bytes;
    }
    return h->at;
}

void *cuda_scratch(struct cuda *c, size_t bytes)
{
    return hold(c, &c->scratch, bytes);
}

void *cuda_pairs(struct cuda *c, size_t bytes)
{
    return hold(c, &c->pairs, bytes);
}

void cuda_zero(struct cuda *c, void *at, size_t bytes)
{
    if (!c->failed && bytes)
        done(c, cudaMemsetAsync(at, 0, bytes, c->stream), "zero");
}

static int allocate(struct device *d, device_memory *ret, size_t bytes, struct error *e)
{
    (void)d;
    void *at = NULL;
    size_t left = 0, total = 0;
    if (cudaMalloc(&at, bytes ? bytes : 1) != cudaSuccess) {
        cudaGetLastError();
        cudaMemGetInfo(&left, &total);
        return error_set(e, ERROR_FAILED,
                         "cuda: %zu MiB of GPU memory are needed, %zu of %zu are left; lower train.tokens_per_step", bytes >> 20,
                         left >> 20, total >> 20);
    }
    *ret = {(uintptr_t)at};
    return 0;
}

static void release(struct device *d, device_memory m)
{
    cudaStreamSynchronize(cuda_of(d)->stream);
    cudaFree(cuda_at<void>(m));
}

/* From memory that the caller goes on with: through the ring, piece by piece. */
static void upload(struct device *d, device_memory to, const void *from, size_t bytes)
{
    struct cuda *c = cuda_of(d);
    struct ring *r = c->ring;
    for (size_t at = 0; at < bytes && !c->failed; at += SLOT_BYTES) {
        size_t left = bytes - at, piece = left < SLOT_BYTES ? left : (size_t)SLOT_BYTES;
        char *slot = r->at + r->next * SLOT_BYTES;
        if (!done(c, cudaEventSynchronize(r->copied[r->next]), "upload"))
            return;
        memcpy(slot, (const char *)from + at, piece);
        if (!done(c, cudaMemcpyAsync(cuda_at<char>(to) + at, slot, piece, cudaMemcpyHostToDevice, c->stream), "upload") ||
            !done(c, cudaEventRecord(r->copied[r->next], c->stream), "upload"))
            return;
        r->next = (r->next + 1) % SLOTS;
    }
}

static void download(struct device *d, void *to, device_memory from, size_t bytes)
{
    struct cuda *c = cuda_of(d);
    if (c->failed || !bytes)
        return;
    if (done(c, cudaMemcpyAsync(to, cuda_at<void>(from), bytes, cudaMemcpyDeviceToHost, c->stream), "download"))
        done(c, cudaStreamSynchronize(c->stream), "download");
}

static void zero(struct device *d, device_memory m, size_t bytes)
{
    cuda_zero(cuda_of(d), cuda_at<void>(m), bytes);
}

static void copy(struct device *d, device_memory to, device_memory from, size_t bytes)
{
    struct cuda *c = cuda_of(d);
    if (!c->failed && bytes)
        done(c, cudaMemcpyAsync(cuda_at<void>(to), cuda_at<void>(from), bytes, cudaMemcpyDeviceToDevice, c->stream), "copy");
}

static void *host_begin(struct device *d, device_memory m, size_t bytes)
{
    void *ret = calloc(1, bytes ? bytes : 1);
    if (ret)
        download(d, ret, m, bytes);
    else
        cuda_fail(cuda_of(d), "out of memory: %zu bytes for a copy of GPU memory", bytes);
    return ret;
}

static void host_end(struct device *d, void *host, device_memory m, size_t bytes)
{
    upload(d, m, host, bytes);
    free(host);
}

static int finish(struct device *d, struct error *e)
{
    struct cuda *c = cuda_of(d);
    if (done(c, cudaStreamSynchronize(c->stream), "an operation"))
        done(c, cudaGetLastError(), "an operation");
    if (!c->failed)
        return 0;
    c->failed = false;
    *e = c->failure;
    return -1;
}

/* Not ahead yet: what is looked at is waited for. */
static uint64_t mark(struct device *d)
{
    (void)d;
    return 0;
}

static int passed(struct device *d, uint64_t, struct error *e)
{
    return finish(d, e) ? -1 : 1;
}

static void destroy(struct device *d)
{
    struct cuda *c = cuda_of(d);
    if (c->stream)
        cudaStreamSynchronize(c->stream);
    for (size_t i = 0; i < SLOTS && c->ring; i++)
        if (c->ring->copied[i])
            cudaEventDestroy(c->ring->copied[i]);
    if (c->ring)
        cudaFreeHost(c->ring->at);
    free(c->ring);
    matmul_destroy(&c->matmul);
    cudaFree(c->scratch.at);
    cudaFree(c->pairs.at);
    if (c->stream)
        cudaStreamDestroy(c->stream);
    free(c);
}

static void fill_operations(void)
{
    struct device_operations *o = &operations;
    o->kind = DEVICE_CUDA;
    o->allocate = allocate;
    o->release = release;
    o->upload = upload;
    o->download = download;
    o->download_later = download;
    o->mark = mark;
    o->passed = passed;
    o->zero = zero;
    o->copy = copy;
    o->host_begin = host_begin;
    o->host_end = host_end;
    o->finish = finish;
    o->destroy = destroy;
    cuda_normalize_operations(o);
    cuda_linear_operations(o);
    cuda_activation_operations(o);
    cuda_token_operations(o);
    cuda_attention_operations(o);
    cuda_loss_operations(o);
    cuda_optimizer_operations(o);
}

static int open_ring(struct cuda *c, struct error *e)
{
    c->ring = (struct ring *)calloc(1, sizeof *c->ring);
    if (!c->ring || cudaMallocHost((void **)&c->ring->at, (size_t)SLOTS * SLOT_BYTES) != cudaSuccess)
        return error_set(e, ERROR_FAILED, "cuda: no 16 MiB of pinned memory for uploads");
    for (size_t i = 0; i < SLOTS; i++)
        if (cudaEventCreateWithFlags(&c->ring->copied[i], cudaEventDisableTiming) != cudaSuccess)
            return error_set(e, ERROR_FAILED, "cuda: no event: %s", cudaGetErrorString(cudaGetLastError()));
    return 0;
}

int cuda_create(struct device **ret, enum precision precision, int threads, struct error *e)
{
    struct cuda *c = (struct cuda *)calloc(1, sizeof *c);
    if (!c)
        return error_set(e, ERROR_FAILED, "out of memory");
    if (!operations.allocate)
        fill_operations();
    c->base.run = &operations;
    c->base.precision = precision;
    c->base.threads = threads;
    cudaError_t status = cudaStreamCreateWithFlags(&c->stream, cudaStreamNonBlocking);
    if (status != cudaSuccess)
        error_set(e, ERROR_FAILED, "cuda: the GPU does not start: %s", cudaGetErrorString(status));
    else if (!open_ring(c, e) && !matmul_create(&c->matmul, precision, e)) {
        *ret = &c->base;
        return 0;
    }
    destroy(&c->base);
    return -1;
}
