/* Owns the list of devices by name, and what is said and measured of any of them. */
#include "worker/device/device.h"

#include "common/base/clock.h"
#include "worker/device/cpu.h"
#include "worker/device/cpu_reference.h"
#include "worker/device/guarded.h"

#include <string.h>

const char *const precision_names[] = {"f32", "bf16", NULL};

static const struct maker {
    const char *name;
    int (*create)(struct device **ret, enum precision precision, int threads, struct error *e);
    void (*describe)(const struct device *d, char *text, size_t size);
} makers[] = {
    {"cpu", cpu_create, cpu_describe},
    {"cpu_reference", cpu_reference_create, cpu_reference_describe},
    {"guarded", guarded_create, guarded_describe},
    {"auto", cpu_create, cpu_describe},
};

static const struct maker *maker_find(const char *name)
{
    for (size_t i = 0; i < sizeof makers / sizeof *makers; i++)
        if (strcmp(makers[i].name, name) == 0)
            return &makers[i];
    return NULL;
}

int device_create(struct device **ret, const char *name, enum precision precision, int threads, struct error *e)
{
    const struct maker *m = maker_find(name);
    if (!m)
        return error_set(e, ERROR_USAGE, "cluster.device: \"%s\" is not known; use auto, cpu, cpu_reference or guarded", name);
    return m->create(ret, precision, threads < 1 ? 1 : threads, e);
}

void device_describe(const struct device *d, char *text, size_t size)
{
    maker_find(d->run->name)->describe(d, text, size);
}

double device_flops(const struct device *d)
{
    return d->flops;
}

/* The shapes of a feed-forward of BERT-base, forward: few enough to measure, big enough to be what a step is made of. */
enum { RATE_TOKENS = 1024, RATE_WIDTH = 768, RATE_INNER = 3072 };

struct rate {
    struct device *d;
    device_memory x, w, bias, y, h;
};

static void rate_once(const struct rate *r)
{
    const struct device_operations *run = r->d->run;
    run->linear_forward(r->d, r->h, r->h, r->x, r->w, r->bias, ACTIVATION_NONE, RATE_TOKENS, RATE_WIDTH, RATE_INNER);
    run->linear_forward(r->d, r->y, r->y, r->h, r->w, r->bias, ACTIVATION_NONE, RATE_TOKENS, RATE_INNER, RATE_WIDTH);
}

static double rate_measure(const struct rate *r)
{
    double best = 0, until = clock_seconds() + 0.25;
    rate_once(r);
    do {
        double start = clock_seconds(), flops = r->d->flops;
        rate_once(r);
        r->d->run->finish(r->d, NULL);
        double rate = (r->d->flops - flops) / (clock_seconds() - start);
        best = rate > best ? rate : best;
    } while (clock_seconds() < until);
    return best / 1e9;
}

double device_gemm_rate(struct device *d)
{
    struct rate r = {.d = d};
    size_t of_act = precision_bytes(d->precision),
           counts[] = {RATE_TOKENS * RATE_WIDTH * of_act, RATE_WIDTH * RATE_INNER * of_act, RATE_INNER * sizeof(float),
                       RATE_TOKENS * RATE_WIDTH * of_act, RATE_TOKENS * RATE_INNER * of_act};
    device_memory *memory[] = {&r.x, &r.w, &r.bias, &r.y, &r.h};
    double ret = 0, flops = d->flops;
    size_t got = 0;
    for (; got < sizeof memory / sizeof *memory; got++) {
        if (d->run->allocate(d, memory[got], counts[got], NULL) != 0)
            break;
        d->run->zero(d, *memory[got], counts[got]);
    }
    if (got == sizeof memory / sizeof *memory)
        ret = rate_measure(&r);
    while (got > 0)
        d->run->release(d, *memory[--got]);
    d->flops = flops;
    return ret;
}
