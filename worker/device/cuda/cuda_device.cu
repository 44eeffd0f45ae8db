/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a GPU's memory, its stream, the ring that uploads go through, and what failed first. */
#include "worker/device/cuda/cuda_operations.h"

#include "worker/device/cuda/matmul.h"
#include "worker/device/cuda/runtime.cuh"

extern "C" {
#include "common/base/clock.h"
}

#include <sched.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { SLOTS = 64, SLOT_BYTES = 256 << 10, MARKS = 16, WAITING = 64, LATER_BYTES = 1 << 20 };

#define AHEAD 2           /* steps */
#define TIMEOUT 600.0     /* seconds, until the owner of the device says how long */

/* Pinned memory that uploads are copied to, so that they return at once. */
struct ring {
    char *at;
    cudaEvent_t copied[SLOTS]; /* passed: the slot is free */
    size_t next;
};

/* What was downloaded into pinned memory and goes to its place once its mark has passed. */
struct arrival {
    void *to;
    size_t at, bytes; /* at: in the pinned memory */
    uint64_t mark;
};

struct later {
    char *pinned;
    struct arrival waiting[WAITING]; /* in order, around */
    size_t first, count, next;       /* next: free place in the pinned memory */
    cudaEvent_t events[MARKS];       /* of mark m: m % MARKS */
    uint64_t made, passed;
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

/* False: it failed, which sticks. All but a lack of memory is for good. */
static bool done(struct cuda *c, cudaError_t status, const char *what)
{
    const char *gpu = device_gpu(&c->base);
    if (status == cudaSuccess)
        return true;
    if (status == cudaErrorMemoryAllocation) {
        cuda_fail(c, "cuda: %s: %s", what, cudaGetErrorString(status));
        return false;
    }
    c->base.lost = true;
    cuda_fail(c, "cuda: %s has failed: %s%s%s; look at nvidia-smi and the kernel's log (dmesg, Xid)", what, cudaGetErrorString(status),
              *gpu ? ", on " : "", gpu);
    return false;
}

/* The deadline has passed: what is held stays held, as to free anything would wait. */
static void fall_silent(struct cuda *c, const char *what)
{
    const char *gpu = device_gpu(&c->base);
    c->base.lost = c->silent = true;
    cuda_fail(c, "cuda: the GPU%s%s has not done what it was asked for %g s (%s); look at nvidia-smi and the kernel's log", *gpu ? " " : "", gpu,
              c->base.timeout, what);
}

/* Whether sums hold the device up. Their failure sticks; they are not looked at again, as they have let go of the device. Nor
 * while they are: that may use the device itself. */
static bool is_held_up(struct cuda *c)
{
    int (*beside)(void *context, struct error *e) = c->beside;
    struct error why;
    if (!beside)
        return false;
    c->beside = NULL;
    int result = beside(c->beside_context, &why);
    if (result < 0)
        cuda_fail(c, "%s", why.message);
    else
        c->beside = beside;
    return result > 0;
}

/* Until the event has passed, or where it is NULL the stream has done all that it was given. False: that failed, or does not come to
 * an end. */
static bool await(struct cuda *c, cudaEvent_t event, const char *what)
{
    double start = clock_seconds();
    for (int round = 0; !c->silent; round++) {
        cudaError_t status = event ? cudaEventQuery(event) : cudaStreamQuery(c->stream);
        if (status != cudaErrorNotReady)
            return done(c, status, what);
        if (is_held_up(c))
            start = clock_seconds();
        if (c->base.timeout > 0 && clock_seconds() - start > c->base.timeout)
            fall_silent(c, what);
        if (round < 1000)
            sched_yield();
        else
            clock_sleep(50e-6);
    }
    return false;
}

static void *hold(struct cuda *c, struct held *h, size_t bytes)
{
    if (bytes > h->size) {
        if (await(c, NULL, "an operation")) /* what runs may use the old one */
            cudaFree(h->at);
        *h = {};
        if (cudaMalloc(&h->at, bytes) != cudaSuccess) {
            h->at = NULL;
            cudaGetLastError();
            cuda_fail(c, "cuda: the GPU has no %zu MiB left for what an operation writes on the way; lower train.micro_batch, or end what else is on it",
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
                         "cuda: %zu MiB of GPU memory are needed, %zu of %zu are left; lower train.micro_batch, or end what else is on it", bytes >> 20,
                         left >> 20, total >> 20);
    }
    *ret = {(uintptr_t)at};
    return 0;
}

static void release(struct device *d, device_memory m)
{
    struct cuda *c = cuda_of(d);
    await(c, NULL, "an operation");
    if (!c->silent)
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
        if (!await(c, r->copied[r->next], "upload") || c->failed)
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
        await(c, NULL, "download");
}

/* A place in pinned memory; NULL: too much is waiting. */
static char *take_place(struct later *l, size_t bytes)
{
    if (!l->count)
        l->next = 0;
    size_t oldest = l->waiting[l->first].at;
    bool around = l->count && l->next <= oldest; /* free: from next to oldest */
    if (!around && l->next + bytes > LATER_BYTES && l->count) {
        l->next = 0;
        around = true;
    }
    if (l->count == WAITING || l->next + bytes > (around ? oldest : (size_t)LATER_BYTES))
        return NULL;
    return l->pinned + l->next;
}

static void deliver(struct later *l, uint64_t mark)
{
    while (l->count && l->waiting[l->first].mark <= mark) {
        const struct arrival *a = &l->waiting[l->first];
        memcpy(a->to, l->pinned + a->at, a->bytes);
        l->first = (l->first + 1) % WAITING;
        l->count--;
    }
}

static void download_later(struct device *d, void *to, device_memory from, size_t bytes)
{
    struct cuda *c = cuda_of(d);
    struct later *l = c->later;
    if (c->failed || !bytes)
        return;
    char *place = take_place(l, bytes);
    if (!place) {
        download(d, to, from, bytes);
        return;
    }
    if (!done(c, cudaMemcpyAsync(place, cuda_at<void>(from), bytes, cudaMemcpyDeviceToHost, c->stream), "download"))
        return;
    l->waiting[(l->first + l->count++) % WAITING] = {to, (size_t)(place - l->pinned), bytes, l->made + 1};
    l->next = (size_t)(place - l->pinned) + bytes;
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

static int report(struct cuda *c, struct error *e)
{
    if (!c->failed)
        return 0;
    c->failed = c->silent; /* which it stays */
    *e = c->failure;
    return -1;
}

/* After a failure nobody wants what was under way. */
static void deliver_all(struct cuda *c)
{
    if (c->failed)
        c->later->count = 0;
    deliver(c->later, UINT64_MAX);
    c->later->passed = c->silent ? c->later->passed : c->later->made;
}

static int finish(struct device *d, struct error *e)
{
    struct cuda *c = cuda_of(d);
    if (await(c, NULL, "an operation"))
        done(c, cudaGetLastError(), "an operation");
    deliver_all(c);
    return report(c, e);
}

/* Also after a failure: what was asked before it may still be under way. */
static uint64_t mark(struct device *d)
{
    struct cuda *c = cuda_of(d);
    struct later *l = c->later;
    l->made++;
    done(c, cudaEventRecord(l->events[l->made % MARKS], c->stream), "a mark");
    return l->made;
}

/* Of marks that have lost their event to a later one, that one is looked at. */
static int passed(struct device *d, uint64_t mark, struct error *e)
{
    struct cuda *c = cuda_of(d);
    struct later *l = c->later;
    if (mark > l->passed && !c->silent) {
        uint64_t at = l->made - mark < MARKS ? mark : l->made - MARKS + 1;
        cudaError_t status = cudaEventQuery(l->events[at % MARKS]);
        if (status == cudaErrorNotReady)
            return 0;
        if (done(c, status, "an operation"))
            done(c, cudaGetLastError(), "an operation");
        l->passed = at;
        if (!c->failed)
            deliver(l, at);
    }
    return report(c, e) ? -1 : 1;
}

static void destroy(struct device *d)
{
    struct cuda *c = cuda_of(d);
    if (c->silent) /* what it holds stays with it: to free anything would wait */
        return;
    if (c->stream)
        await(c, NULL, "an operation");
    for (size_t i = 0; i < MARKS && c->later; i++)
        if (c->later->events[i])
            cudaEventDestroy(c->later->events[i]);
    if (c->later)
        cudaFreeHost(c->later->pinned);
    free(c->later);
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
    o->download_later = download_later;
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

static int open_later(struct cuda *c, struct error *e)
{
    c->later = (struct later *)calloc(1, sizeof *c->later);
    if (!c->later || cudaMallocHost((void **)&c->later->pinned, LATER_BYTES) != cudaSuccess)
        return error_set(e, ERROR_FAILED, "cuda: no 1 MiB of pinned memory for downloads");
    for (size_t i = 0; i < MARKS; i++)
        if (cudaEventCreateWithFlags(&c->later->events[i], cudaEventDisableTiming) != cudaSuccess)
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
    c->base.ahead = AHEAD;
    c->base.timeout = TIMEOUT;
    cudaError_t status = cudaStreamCreateWithFlags(&c->stream, cudaStreamNonBlocking);
    if (status != cudaSuccess)
        error_set(e, ERROR_FAILED, "cuda: the GPU does not start: %s", cudaGetErrorString(status));
    else if (!open_ring(c, e) && !open_later(c, e) && !matmul_create(&c->matmul, precision, e)) {
        *ret = &c->base;
        return 0;
    }
    destroy(&c->base);
    return -1;
}
