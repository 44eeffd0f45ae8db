/* SPDX-License-Identifier: Apache-2.0 */
/* Only gpu.c sees these: the kernels' runtime is C++ (runtime.h), with names of its own to the linker. */
#include <cuda_runtime_api.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t setting(const char *name, size_t otherwise)
{
    const char *at = getenv("MUSTER_EMULATED_GPUS");
    size_t size = strlen(name);
    for (; at && *at; at += strcspn(at, " "), at += strspn(at, " "))
        if (!strncmp(at, name, size) && at[size] == '=')
            return strtoul(at + size + 1, NULL, 10);
    return otherwise;
}

cudaError_t cudaDriverGetVersion(int *version)
{
    *version = (int)setting("driver", 13000);
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    *version = 13000;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int *count)
{
    *count = (int)setting("count", 1);
    return *count > 0 && setting("driver", 13000) >= 13000 ? cudaSuccess : cudaErrorNoDevice;
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *ret, int index)
{
    *ret = (struct cudaDeviceProp){
        .totalGlobalMem = setting("memory", 1024) << 20, .major = 9, .multiProcessorCount = 1, .name = "Emulated"};
    ret->uuid.bytes[15] = (char)(setting("same", 0) ? 1 : index + 1);
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *ret, int attribute, int index)
{
    (void)attribute, (void)index;
    *ret = (int)setting("mode", cudaComputeModeDefault);
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int index)
{
    return index < (int)setting("count", 1) ? cudaSuccess : cudaErrorInvalidValue;
}

cudaError_t cudaFree(void *at)
{
    (void)at;
    return setting("busy", 0) ? cudaErrorDevicesUnavailable : cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *left, size_t *all)
{
    *all = setting("memory", 1024) << 20;
    *left = setting("free", *all >> 20) << 20;
    return cudaSuccess;
}

const char *cudaGetErrorString(cudaError_t error)
{
    return error == cudaErrorDevicesUnavailable ? "CUDA-capable device(s) is/are busy or unavailable" : "invalid argument";
}
