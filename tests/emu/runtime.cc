/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/emu/runtime.h"

#include <deque>

/* What was not done yet, in order. `done`: how many of all that came were. */
struct emulated_stream {
    std::deque<std::function<void()>> waiting;
    uint64_t done = 0;
};

struct emulated_event {
    cudaStream_t stream = NULL;
    uint64_t after = 0; /* of its stream */
};

static uint64_t given; /* pieces of work, to all streams */

static bool reached(const char *name)
{
    const char *text = getenv(name);
    return text && given >= strtoull(text, NULL, 10);
}

static bool lost()
{
    return reached("MUSTER_EMULATED_LOST");
}

static bool silent()
{
    return reached("MUSTER_EMULATED_SILENT");
}

static std::string last_error; /* of a kernel; told once by cudaGetLastError */

static void run_until(cudaStream_t stream, uint64_t count)
{
    for (; stream->done < count; stream->done++) {
        std::function<void()> next = std::move(stream->waiting.front());
        stream->waiting.pop_front();
        next();
    }
}

void emulated_enqueue(cudaStream_t stream, std::function<void()> work)
{
    if (!stream) {
        work();
        return;
    }
    given++;
    if (lost())
        return;
    stream->waiting.push_back(std::move(work));
    if (emulated_order_now() == EMULATED_FORWARD && !silent())
        run_until(stream, stream->done + stream->waiting.size());
}

cudaError_t cudaMalloc(void **ret, size_t bytes)
{
    *ret = aligned_alloc(256, (bytes + 255) / 256 * 256 + 256);
    if (!*ret)
        return cudaErrorMemoryAllocation;
    memset(*ret, 0xff, bytes); /* NaN: what is not written shows */
    return cudaSuccess;
}

cudaError_t cudaFree(void *at)
{
    free(at);
    return cudaSuccess;
}

cudaError_t cudaMallocHost(void **ret, size_t bytes)
{
    return cudaMalloc(ret, bytes);
}

cudaError_t cudaFreeHost(void *at)
{
    return cudaFree(at);
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind, cudaStream_t stream)
{
    emulated_enqueue(stream, [=] { memmove(to, from, bytes); });
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *at, int byte, size_t bytes, cudaStream_t stream)
{
    emulated_enqueue(stream, [=] { memset(at, byte, bytes); });
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *ret, unsigned)
{
    const char *order = getenv("MUSTER_EMULATED_ORDER");
    if (order)
        emulate_in((enum emulated_order)atoi(order));
    *ret = new emulated_stream();
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    cudaStreamSynchronize(stream);
    delete stream;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    run_until(stream, stream->done + stream->waiting.size());
    return cudaSuccess;
}

/* What is asked for again and again comes nearer, some work at a time. */
static cudaError_t query(cudaStream_t stream, uint64_t until)
{
    uint64_t most = stream->done + 64;
    if (lost())
        return cudaErrorECCUncorrectable;
    if (silent())
        return cudaErrorNotReady;
    if (stream->done >= until)
        return cudaSuccess;
    run_until(stream, most < until ? most : until);
    return cudaErrorNotReady;
}

cudaError_t cudaStreamQuery(cudaStream_t stream)
{
    return query(stream, stream->done + stream->waiting.size());
}

cudaError_t cudaEventQuery(cudaEvent_t event)
{
    return event->stream ? query(event->stream, event->after) : cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *ret, unsigned)
{
    *ret = new emulated_event();
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    delete event;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    event->stream = stream;
    event->after = stream->done + stream->waiting.size();
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    if (event->stream)
        run_until(event->stream, event->after);
    return cudaSuccess;
}

cudaError_t cudaGetLastError(void)
{
    last_error = emulated_error();
    return last_error.empty() ? cudaSuccess : cudaErrorLaunchFailure;
}

cudaError_t cudaMemGetInfo(size_t *left, size_t *total)
{
    *left = *total = (size_t)1 << 30;
    return cudaSuccess;
}

const char *cudaGetErrorString(cudaError_t error)
{
    return error == cudaErrorLaunchFailure ? last_error.c_str()
           : error == cudaErrorECCUncorrectable ? "uncorrectable ECC error encountered"
           : error == cudaSuccess ? "no error" : "out of memory";
}
