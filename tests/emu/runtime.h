/* SPDX-License-Identifier: Apache-2.0 */
/* A double of what the cuda device calls of the CUDA runtime. Memory is the host's. What a stream is given runs at once when
 * threads are emulated forward, and else as late as CUDA allows: when something waits for it. So what is not waited for shows.
 *
 * For whole programs, in the environment: MUSTER_EMULATED_ORDER=1 or 2 (an enum emulated_order); MUSTER_EMULATED_LOST=N, after so
 * many pieces of work the GPU has failed for good; MUSTER_EMULATED_SILENT=N, it does none after those. MUSTER_EMULATED_ONCE=FILE:
 * a fault that is planned, nccl.h's too, happens in one process alone, which makes the file. */
#pragma once

#include "tests/emu/emulate.h"

#include <stdlib.h>

typedef struct emulated_event *cudaEvent_t;
enum cudaError_t {
    cudaSuccess,
    cudaErrorMemoryAllocation = 2,
    cudaErrorECCUncorrectable = 214,
    cudaErrorNotReady = 600,
    cudaErrorLaunchFailure = 719
};
struct cudaDeviceProp {
    char name[256];
};
enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice };
enum { cudaStreamNonBlocking = 1, cudaEventDisableTiming = 2 };

cudaError_t cudaMalloc(void **ret, size_t bytes);
cudaError_t cudaFree(void *at);
cudaError_t cudaMallocHost(void **ret, size_t bytes);
cudaError_t cudaFreeHost(void *at);
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t cudaMemsetAsync(void *at, int byte, size_t bytes, cudaStream_t stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *ret, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamQuery(cudaStream_t stream);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *ret, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventQuery(cudaEvent_t event);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags);
cudaError_t cudaGetDevice(int *ret);
/* MUSTER_EMULATED_KINDS="ab": a letter for each rank of an MPI job, the name of its GPU; otherwise all are of one kind. */
cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *ret, int device);
cudaError_t cudaGetLastError(void);
bool emulated_fault_is_due(void); /* MUSTER_EMULATED_ONCE */
cudaError_t cudaMemGetInfo(size_t *left, size_t *total);
const char *cudaGetErrorString(cudaError_t error);
