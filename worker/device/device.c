/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the list of devices by kind, and what is described and measured of any of them. */
#include "worker/device/device.h"

#include "common/base/peak.h"
#include "worker/device/cpu.h"
#include "worker/device/cpu_reference.h"
#include "worker/device/guarded.h"

static const struct backend {
    int (*create)(struct device **ret, enum precision precision, int threads, struct error *e);
    void (*describe)(const struct device *d, char *text, size_t size);
} backends[DEVICES] = {
    [DEVICE_AUTO] = {cpu_create, cpu_describe},
    [DEVICE_CPU] = {cpu_create, cpu_describe},
    [DEVICE_CPU_REFERENCE] = {cpu_reference_create, cpu_reference_describe},
    [DEVICE_GUARDED] = {guarded_create, guarded_describe},
    [DEVICE_FAKE] = {NULL}, /* computes nothing: worker/fake.c */
};

int device_create(struct device **ret, const char *name, enum precision precision, int threads, struct error *e)
{
    int kind = device_kind_find(name);
    if (kind < 0 || !backends[kind].create)
        return error_set(e, ERROR_USAGE, "cluster.device: \"%s\" is not known; use auto, cpu, cpu_reference or guarded", name);
    return backends[kind].create(ret, precision, threads < 1 ? 1 : threads, e);
}

void device_describe(const struct device *d, char *text, size_t size)
{
    backends[d->run->kind].describe(d, text, size);
}

double device_flops(const struct device *d)
{
    return d->flops;
}

double device_peak(const struct device *d)
{
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
