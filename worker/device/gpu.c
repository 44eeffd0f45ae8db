/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/device/gpu.h"

#include "common/base/buffer.h"
#include "common/base/machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEAD = 256 /* see cuda/attention_plain.cu */ };

void gpu_print_uuid(char text[GPU_UUID], const unsigned char u[16])
{
    snprintf(text, GPU_UUID, "GPU-%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0], u[1], u[2], u[3],
             u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13], u[14], u[15]);
}

/* Data sheets of A100, A30, H100, H200 (SXM, PCIe and NVL differ), B200; longer names first. */
static const struct {
    const char *part;
    double peak[PRECISIONS]; /* TFLOPS */
} kinds[] = {
    {"H100 PCIe", {[PRECISION_F32] = 51, [PRECISION_BF16] = 756, [PRECISION_TF32] = 378}},
    {"H100 NVL", {[PRECISION_F32] = 60, [PRECISION_BF16] = 835, [PRECISION_TF32] = 417}},
    {"H200 NVL", {[PRECISION_F32] = 60, [PRECISION_BF16] = 835, [PRECISION_TF32] = 417}},
    {"H100", {[PRECISION_F32] = 67, [PRECISION_BF16] = 989, [PRECISION_TF32] = 494}},
    {"H200", {[PRECISION_F32] = 67, [PRECISION_BF16] = 989, [PRECISION_TF32] = 494}},
    {"A100", {[PRECISION_F32] = 19.5, [PRECISION_BF16] = 312, [PRECISION_TF32] = 156}},
    {"A30", {[PRECISION_F32] = 10.3, [PRECISION_BF16] = 165, [PRECISION_TF32] = 82}},
    {"B200", {[PRECISION_F32] = 75, [PRECISION_BF16] = 2250, [PRECISION_TF32] = 1125}},
};

double gpu_peak(const char *name, enum precision precision)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strstr(name, kinds[i].part))
            return 1000 * kinds[i].peak[precision];
    return 0;
}

static struct {
    int number;
    bool open;
    struct gpu gpu;
} own;

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

static const char *set_device(int index)
{
    cudaError_t status = cudaSetDevice(index);
    if (status == cudaSuccess)
        status = cudaFree(NULL); /* makes the context: what is wrong shows here */
    return status == cudaSuccess ? NULL : cudaGetErrorString(status);
}

size_t gpu_memory_left(void)
{
    size_t left, all;
    return gpu_opened() && cudaMemGetInfo(&left, &all) == cudaSuccess ? left : 0;
}

int gpu_count(void)
{
    int count = 0;
    return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
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
    gpu_print_uuid(ret->uuid, (const unsigned char *)p.uuid.bytes);
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

static const char *set_device(int index)
{
    (void)index;
    return "no CUDA";
}

size_t gpu_memory_left(void)
{
    return 0;
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

int gpu_check(struct error *e)
{
    struct gpu_software s = gpu_software();
    char host[MACHINE_NAME];
    machine_name(host, sizeof host);
    if (!s.built)
        return error_set(e, ERROR_USAGE,
                         "cluster.device: \"cuda\" is not in this build; build with cmake --preset cuda (docs/gpu.md), or take "
                         "\"cpu\"");
    if (!s.driver)
        return error_set(e, ERROR_FAILED,
                         "cluster.device cuda: host %s has no NVIDIA driver; run on a host with a GPU, or set cluster.device to "
                         "\"cpu\"",
                         host);
    if (s.driver < s.runtime)
        return error_set(
            e, ERROR_FAILED,
            "cluster.device cuda: the driver of host %s knows only CUDA %d.%d, and this build needs %d.%d; install a "
            "newer driver, or set cluster.device to \"cpu\"",
            host, s.driver / 1000, s.driver % 1000 / 10, s.runtime / 1000, s.runtime % 1000 / 10);
    if (gpu_count() > 0)
        return 0;
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    return error_set(e, ERROR_FAILED,
                     "cluster.device cuda: no GPU is visible on host %s%s%.200s%s; ask SLURM for one (--gpus-per-task=1), or set "
                     "cluster.device to \"cpu\"",
                     host, visible ? " (CUDA_VISIBLE_DEVICES is \"" : "", visible ? visible : "", visible ? "\")" : "");
}

void gpu_use(int number)
{
    own.number = number;
}

const struct gpu *gpu_opened(void)
{
    return own.open ? &own.gpu : NULL;
}

int gpu_check_heads(size_t D, struct error *e)
{
    if (D <= HEAD)
        return 0;
    return error_set(
        e, ERROR_USAGE,
        "cluster.device cuda: the model's attention has heads of %zu, and cuda takes at most %d; set cluster.device to "
        "\"cpu\", or take another model",
        D, HEAD);
}

int gpu_enough(int processes, struct error *e)
{
    char host[MACHINE_NAME];
    int count = gpu_count();
    machine_name(host, sizeof host);
    if (processes <= count)
        return 0;
    return error_set(e, ERROR_USAGE,
                     "cluster.device cuda: %d processes on host %s, which take a GPU each, and %d GPU%s visible; lower "
                     "cluster.groups or cluster.ranks_per_group",
                     processes, host, count, count == 1 ? " is" : "s are");
}

int gpu_open(struct gpu *ret, struct error *e)
{
    struct gpu g;
    int index;
    char host[MACHINE_NAME];
    machine_name(host, sizeof host);
    if (own.open) {
        *ret = own.gpu;
        return 0;
    }
    if (gpu_check(e))
        return -1;
    index = gpu_count() == 1 ? 0 : own.number;
    if (gpu_enough(index + 1, e))
        return -1;
    if (!gpu_find(&g, index))
        return error_set(e, ERROR_FAILED,
                         "cluster.device cuda: the driver of host %s tells nothing of GPU %d; look at nvidia-smi", host, index);
    if (g.prohibited)
        return error_set(e, ERROR_FAILED,
                         "cluster.device cuda: host %s, GPU %d (%s): its compute mode is \"prohibited\"; set it by nvidia-smi -i "
                         "%s -c DEFAULT",
                         host, index, g.name, g.uuid);
    const char *why = set_device(index);
    if (why)
        return error_set(e, ERROR_FAILED, "cluster.device cuda: host %s, GPU %d (%s) does not start: %s; %s", host, index, g.name,
                         why,
                         g.exclusive ? "it is exclusive to one process, and another may have it: wait for that to end, or "
                                       "nvidia-smi -c DEFAULT"
                                     : "look at nvidia-smi and the kernel's log (dmesg, Xid)");
    *ret = own.gpu = g;
    own.open = true;
    return 0;
}

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
