/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/emu/runtime.h"

#include <fcntl.h>
#include <sched.h>

#include <deque>
#include <map>

/* What was not done yet, in order. `done`: how many of all that came were. */
struct emulated_stream {
    std::deque<std::function<bool()>> waiting;
    uint64_t done = 0;
    bool running = false;
};

struct emulated_event {
    cudaStream_t stream = NULL;
    uint64_t after = 0; /* of its stream */
};

static uint64_t given; /* pieces of work, to all streams */

bool emulated_fault_is_due(void)
{
    static int due = -1;
    const char *once = getenv("MUSTER_EMULATED_ONCE");
    if (due < 0)
        due = !once || open(once, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600) >= 0;
    return due;
}

static bool reached(const char *name)
{
    const char *text = getenv(name);
    return text && given >= strtoull(text, NULL, 10) && emulated_fault_is_due();
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

/* As far as `count` of the stream, if nothing holds it up: whether it has come there. */
static bool run_towards(cudaStream_t stream, uint64_t count)
{
    if (stream->done >= count || stream->running)
        return stream->done >= count;
    stream->running = true;
    for (; stream->done < count && stream->waiting.front()(); stream->done++)
        stream->waiting.pop_front();
    stream->running = false;
    return stream->done >= count;
}

static void run_until(cudaStream_t stream, uint64_t count)
{
    while (!run_towards(stream, count))
        sched_yield();
}

void emulated_enqueue_until(cudaStream_t stream, std::function<bool()> work)
{
    given++;
    if (lost())
        return;
    stream->waiting.push_back(std::move(work));
    if (emulated_order_now() == EMULATED_FORWARD && !silent())
        run_towards(stream, stream->done + stream->waiting.size());
}

void emulated_enqueue(cudaStream_t stream, std::function<void()> work)
{
    if (stream)
        emulated_enqueue_until(stream, [=] {
            work();
            return true;
        });
    else
        work();
}

cudaError_t cudaMalloc(void **ret, size_t bytes)
{
    *ret = emulated_allocate(bytes);
    return *ret ? cudaSuccess : cudaErrorMemoryAllocation;
}

cudaError_t cudaFree(void *at)
{
    emulated_free(at);
    return cudaSuccess;
}

static std::map<const char *, size_t> pinned; /* bytes at */

cudaError_t cudaMallocHost(void **ret, size_t bytes)
{
    cudaError_t status = cudaMalloc(ret, bytes);
    if (status == cudaSuccess)
        pinned[(const char *)*ret] = bytes;
    return status;
}

cudaError_t cudaFreeHost(void *at)
{
    pinned.erase((const char *)at);
    return cudaFree(at);
}

static bool is_pinned(const void *at, size_t bytes)
{
    auto behind = pinned.upper_bound((const char *)at);
    if (behind == pinned.begin())
        return false;
    behind--;
    return (const char *)at + bytes <= behind->first + behind->second;
}

/* To pageable memory of the host: returns when it is there. */
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream)
{
    emulated_enqueue(stream, [=] { memmove(to, from, bytes); });
    return kind == cudaMemcpyDeviceToHost && !is_pinned(to, bytes) ? cudaStreamSynchronize(stream) : cudaSuccess;
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
    run_towards(stream, most < until ? most : until);
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

/* The event as it was recorded last: it may be recorded again. */
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned)
{
    cudaStream_t other = event->stream;
    uint64_t after = event->after;
    if (other)
        emulated_enqueue_until(stream, [=] { return run_towards(other, after); });
    return cudaSuccess;
}

cudaError_t cudaGetDevice(int *ret)
{
    *ret = 0;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *ret, int)
{
    const char *rank = getenv("OMPI_COMM_WORLD_RANK"), *gpus = getenv("MUSTER_EMULATED_KINDS");
    *ret = {};
    snprintf(ret->name, sizeof ret->name, "emulated GPU%s%.1s", gpus ? " " : "", gpus ? gpus + (rank ? atoi(rank) : 0) : "");
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
    return error == cudaErrorLaunchFailure      ? last_error.c_str()
           : error == cudaErrorECCUncorrectable ? "uncorrectable ECC error encountered"
           : error == cudaSuccess               ? "no error"
                                                : "out of memory";
}
