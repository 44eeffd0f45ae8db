/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the list of devices by kind, and what is described and measured of any of them. */
#include "worker/device/device.h"

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "worker/device/cpu.h"
#include "worker/device/cpu_reference.h"
#include "worker/device/guarded.h"

#include <stdlib.h>

static void product_of_linear(struct device *d, device_memory y, device_memory x, device_memory w, size_t N, size_t K, size_t O)
{
    d->run->linear_forward(d, y, y, x, w, w, ACTIVATION_NONE, N, K, O); /* any bias will do */
}

static const struct backend {
    int (*create)(struct device **ret, enum precision precision, int threads, struct error *e);
    void (*describe)(const struct device *d, char *text, size_t size);
    /* y f32 (N,O) = x act (N,K) times w act (O,K) transposed, and nothing more: what gemm_rate measures. */
    void (*product)(struct device *d, device_memory y, device_memory x, device_memory w, size_t N, size_t K, size_t O);
} backends[DEVICES] = {
    [DEVICE_AUTO] = {cpu_create, cpu_describe, cpu_product},
    [DEVICE_CPU] = {cpu_create, cpu_describe, cpu_product},
    [DEVICE_CPU_REFERENCE] = {cpu_reference_create, cpu_reference_describe, product_of_linear},
    [DEVICE_GUARDED] = {guarded_create, guarded_describe, product_of_linear},
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

/* A feed-forward of BERT-base, forward: few products to measure, big enough to be what a step is made of. */
enum { RATE_TOKENS = 1024, RATE_WIDTH = 768, RATE_INNER = 3072, RATE_LOOPS = 5 };
#define RATE_SECONDS 0.25 /* of all loops */
#define RATE_PAUSE 0.01

struct rate {
    struct device *d;
    const struct backend *backend;
    device_memory x, h, w, y;
};

static void rate_once(const struct rate *r)
{
    r->backend->product(r->d, r->y, r->x, r->w, RATE_TOKENS, RATE_WIDTH, RATE_INNER);
    r->backend->product(r->d, r->y, r->h, r->w, RATE_TOKENS, RATE_INNER, RATE_WIDTH);
    r->d->run->finish(r->d, NULL);
}

/* The best of all products, in loops with a pause between them: what another process takes of the machine in one loop is not
 * taken for the device's. */
static double rate_measure(const struct rate *r)
{
    double best = 0;
    rate_once(r);
    for (int loop = 0; loop < RATE_LOOPS; loop++) {
        double until = clock_seconds() + RATE_SECONDS / RATE_LOOPS;
        do {
            double start = clock_seconds();
            rate_once(r);
            double rate = 4.0 * RATE_TOKENS * RATE_WIDTH * RATE_INNER / (clock_seconds() - start);
            best = rate > best ? rate : best;
        } while (clock_seconds() < until);
        if (loop + 1 < RATE_LOOPS)
            clock_sleep(RATE_PAUSE);
    }
    return best / 1e9;
}

/* Filled with ones, or what is near one as a float: 0x3f80 in each half. */
static int rate_allocate(struct device *d, device_memory *ret, size_t bytes)
{
    if (d->run->allocate(d, ret, bytes, NULL) != 0)
        return -1;
    uint16_t *ones = allocate(bytes / 2, sizeof *ones);
    for (size_t i = 0; i < bytes / 2; i++)
        ones[i] = 0x3f80;
    d->run->upload(d, *ret, ones, bytes);
    free(ones);
    return 0;
}

double device_gemm_rate(struct device *d)
{
    struct rate r = {.d = d, .backend = &backends[d->run->kind]};
    device_memory *memory[] = {&r.x, &r.h, &r.w, &r.y};
    size_t counts[] = {RATE_TOKENS * RATE_WIDTH, RATE_TOKENS * RATE_INNER, RATE_WIDTH * RATE_INNER, RATE_TOKENS * RATE_INNER};
    double ret = 0, flops = d->flops;
    size_t got = 0;
    while (got < 4 && rate_allocate(d, memory[got], counts[got] * sizeof(float)) == 0)
        got++;
    if (got == 4)
        ret = rate_measure(&r);
    while (got > 0)
        d->run->release(d, *memory[--got]);
    d->flops = flops;
    return ret;
}

double device_gemm_share(struct device *d, double gflops)
{
    if (!(d->gemm_rate > 0))
        return 0;
    if (gflops > d->gemm_rate) {
        double again = device_gemm_rate(d);
        d->gemm_rate = again > d->gemm_rate ? again : d->gemm_rate;
    }
    if (gflops > d->gemm_rate)
        d->gemm_rate = gflops;
    return gflops / d->gemm_rate;
}
