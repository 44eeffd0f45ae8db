/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the list of devices by kind, and what is described and measured of any of them. */
#include "worker/device/device.h"

#include "common/base/peak.h"
#include "common/base/tf32.h"
#include "worker/device/cpu.h"
#include "worker/device/cpu_reference.h"
#include "worker/device/gpu.h"
#include "worker/device/guarded.h"

#ifdef MUSTER_CUDA
#include "worker/device/cuda/cuda.h"
#endif
#include <stdio.h>

static int gpu_create(struct device **ret, enum precision precision, int threads, struct error *e)
{
    struct gpu g;
    if (gpu_open(&g, e))
        return -1;
#ifdef MUSTER_CUDA
    return cuda_create(ret, precision, threads, e);
#else
    (void)ret, (void)precision, (void)threads;
    return -1; /* gpu_open has said it */
#endif
}

static void gpu_device_describe(const struct device *d, char *text, size_t size)
{
    const struct gpu *g = gpu_opened();
    (void)d;
    if (g)
        snprintf(text, size, "cuda (%.100s, %.0f GiB, %s)", g->name, (double)g->memory / (1 << 30), g->uuid);
    else /* emulated */
        snprintf(text, size, "cuda");
}

/* A GPU that is there and cannot be had is an error: nobody waits days for a CPU without having been told. */
static int auto_create(struct device **ret, enum precision precision, int threads, struct error *e)
{
    struct error ignored;
    if (gpu_check(&ignored))
        return precision == PRECISION_TF32 ? tf32_refuse("cpu", e) : cpu_create(ret, precision, threads, e);
    return gpu_create(ret, precision, threads, e);
}

static const struct backend {
    int (*create)(struct device **ret, enum precision precision, int threads, struct error *e);
    void (*describe)(const struct device *d, char *text, size_t size);
} backends[DEVICES] = {
    [DEVICE_AUTO] = {auto_create, NULL}, /* makes one of another kind */
    [DEVICE_CPU] = {cpu_create, cpu_describe},
    [DEVICE_CUDA] = {gpu_create, gpu_device_describe},
    [DEVICE_CPU_REFERENCE] = {cpu_reference_create, cpu_reference_describe},
    [DEVICE_GUARDED] = {guarded_create, guarded_describe},
    [DEVICE_FAKE] = {NULL}, /* computes nothing: worker/fake.c */
};

int device_create(struct device **ret, const char *name, enum precision precision, int threads, struct error *e)
{
    int kind = device_kind_find(name);
    if (kind < 0 || !backends[kind].create)
        return error_set(e, ERROR_USAGE, "cluster.device: \"%s\" is not known; use auto, cpu, cuda, cpu_reference or guarded",
                         name);
    if (precision == PRECISION_TF32 && kind != DEVICE_CUDA && kind != DEVICE_AUTO)
        return tf32_refuse(name, e);
    return backends[kind].create(ret, precision, threads < 1 ? 1 : threads, e);
}

void device_describe(const struct device *d, char *text, size_t size)
{
    backends[d->run->kind].describe(d, text, size);
}

const char *device_gpu(const struct device *d)
{
    const struct gpu *g = d->run->kind == DEVICE_CUDA ? gpu_opened() : NULL;
    return g ? g->uuid : "";
}

size_t device_memory_left(const struct device *d)
{
    return *device_gpu(d) ? gpu_memory_left() : 0;
}

double device_flops(const struct device *d)
{
    return d->flops;
}

double device_peak(const struct device *d)
{
    if (d->run->kind == DEVICE_CUDA)
        return gpu_opened() ? gpu_peak(gpu_opened()->name, d->precision) : 0;
    return peak_measure(d->precision, d->threads).gflops;
}

double device_peak_share(struct device *d, double gflops)
{
    if (!(d->peak > 0))
        return 0;
    if (gflops > d->peak) {
        double again = device_peak(d);
        d->peak = again > d->peak ? again : d->peak;
    }
    if (gflops > d->peak)
        d->peak = gflops;
    return gflops / d->peak;
}
