/* SPDX-License-Identifier: Apache-2.0 */
/* A double of what worker/device/gpu.c calls of the CUDA runtime: GPUs as MUSTER_EMULATED_GPUS in the environment has them, words
 * "name=value" with blanks between: count (1), driver (13000; 0: none), mode (0; 2: prohibited, 3: exclusive), busy (0; 1:
 * another process has them), memory and free (MiB, 1024), same (0; 1: all have one UUID). */
#pragma once

#include <stddef.h>

typedef enum { cudaSuccess, cudaErrorInvalidValue, cudaErrorDevicesUnavailable = 46, cudaErrorNoDevice = 100 } cudaError_t;
enum { cudaComputeModeDefault, cudaComputeModeProhibited = 2, cudaComputeModeExclusiveProcess, cudaDevAttrComputeMode = 20 };

struct cudaDeviceProp {
    char name[256];
    struct {
        char bytes[16];
    } uuid;
    size_t totalGlobalMem;
    int major, minor, multiProcessorCount;
};

cudaError_t cudaDriverGetVersion(int *version);
cudaError_t cudaRuntimeGetVersion(int *version);
cudaError_t cudaGetDeviceCount(int *count);
cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *ret, int index);
cudaError_t cudaDeviceGetAttribute(int *ret, int attribute, int index);
cudaError_t cudaSetDevice(int index);
cudaError_t cudaFree(void *at); /* NULL: makes the context */
cudaError_t cudaMemGetInfo(size_t *left, size_t *all);
const char *cudaGetErrorString(cudaError_t error);
