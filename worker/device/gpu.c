/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/device/gpu.h"

#include "common/base/buffer.h"

#include <stdio.h>
#include <string.h>

#ifdef MUSTER_CUDA
#include <cuda_runtime_api.h>

struct gpu_software gpu_software(void)
{
    struct gpu_software s = {.built = true};
    if (cudaDriverGetVersion(&s.driver) != cudaSuccess)
        s.driver = 0;
    if (cudaRuntimeGetVersion(&s.runtime) != cudaSuccess)
        s.runtime = 0;
    return s;
}

int gpu_count(void)
{
    int count = 0;
    return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

static void print_uuid(char *text, size_t size, const unsigned char *u)
{
    snprintf(text, size, "GPU-%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0], u[1], u[2], u[3], u[4],
             u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13], u[14], u[15]);
}

bool gpu_find(struct gpu *ret, int index)
{
    struct cudaDeviceProp p;
    int mode = cudaComputeModeDefault;
    *ret = (struct gpu){0};
    if (cudaGetDeviceProperties(&p, index) != cudaSuccess ||
        cudaDeviceGetAttribute(&mode, cudaDevAttrComputeMode, index) != cudaSuccess)
        return false;
    snprintf(ret->name, sizeof ret->name, "%s", p.name);
    print_uuid(ret->uuid, sizeof ret->uuid, (const unsigned char *)p.uuid.bytes);
    ret->capability_major = p.major;
    ret->capability_minor = p.minor;
    ret->multiprocessors = p.multiProcessorCount;
    ret->memory = p.totalGlobalMem;
    ret->prohibited = mode == cudaComputeModeProhibited;
    ret->exclusive = mode == cudaComputeModeExclusiveProcess;
    return true;
}
#else
struct gpu_software gpu_software(void)
{
    return (struct gpu_software){0};
}

int gpu_count(void)
{
    return 0;
}

bool gpu_find(struct gpu *ret, int index)
{
    (void)index;
    *ret = (struct gpu){0};
    return false;
}
#endif

static void describe_one(struct buffer *to, int index)
{
    struct gpu g;
    if (!gpu_find(&g, index)) {
        buffer_printf(to, "GPU %d: the driver tells nothing of it\n", index);
        return;
    }
    buffer_printf(to, "GPU %d: %s, %.1f GiB, compute capability %d.%d, %d multiprocessors, %s%s\n", index, g.name,
                  (double)g.memory / (1 << 30), g.capability_major, g.capability_minor, g.multiprocessors, g.uuid,
                  g.prohibited  ? "; its compute mode is \"prohibited\": set it by nvidia-smi -c DEFAULT"
                  : g.exclusive ? "; exclusive: one process alone"
                                : "");
}

void gpu_describe(struct buffer *to)
{
    struct gpu_software s = gpu_software();
    int count = gpu_count();
    if (!s.built) {
        buffer_printf(to, "CUDA: not in this build; cmake --preset cuda makes one that has it\n");
        return;
    }
    buffer_printf(to, "CUDA %d.%d; ", s.runtime / 1000, s.runtime % 1000 / 10);
    if (!s.driver)
        buffer_printf(to, "no NVIDIA driver on this machine\n");
    else if (s.driver < s.runtime)
        buffer_printf(to, "the driver knows only CUDA %d.%d: install a newer driver\n", s.driver / 1000, s.driver % 1000 / 10);
    else
        buffer_printf(to, "driver for CUDA %d.%d; %d GPU%s visible\n", s.driver / 1000, s.driver % 1000 / 10, count,
                      count == 1 ? "" : "s");
    for (int i = 0; i < count; i++)
        describe_one(to, i);
}
