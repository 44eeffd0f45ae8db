/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/device/cuda/cuda_attention.h"

extern "C" {
#include "tests/emu/cuda_emulated.h"
#include "worker/device/cpu_reference.h"
}

#include <stdio.h>
#include <stdlib.h>

static struct device_operations operations;

void *cuda_scratch(struct cuda *c, size_t bytes)
{
    free(c->scratch);
    c->scratch = aligned_alloc(256, (bytes + 255) / 256 * 256 + 256);
    memset(c->scratch, 0xff, bytes); /* NaN: what is not written shows */
    return c->scratch;
}

void cuda_zero(struct cuda *c, void *at, size_t bytes)
{
    (void)c;
    memset(at, 0, bytes);
}

static int finish(struct device *d, struct error *e)
{
    (void)d;
    std::string error = emulated_error();
    return error.empty() ? 0 : error_set(e, ERROR_FAILED, "%s", error.c_str());
}

static void destroy(struct device *d)
{
    free(((struct cuda *)d)->scratch);
    free(d);
}

int emulated_device_create(struct device **ret, const char *name, enum precision precision, int threads, struct error *e)
{
    struct device *reference;
    if (strcmp(name, "cuda_emulated"))
        return device_create(ret, name, precision, threads, e);
    if (cpu_reference_create(&reference, precision, 1, e))
        return -1;
    operations = *reference->run;
    operations.finish = finish;
    operations.destroy = destroy;
    cuda_attention_operations(&operations);
    struct cuda *c = (struct cuda *)calloc(1, sizeof *c);
    c->base = *reference;
    c->base.run = &operations;
    reference->run->destroy(reference);
    emulate_in((enum emulated_order)((threads - 1) % EMULATED_ORDERS));
    *ret = &c->base;
    return 0;
}

void emulated_device_describe(const struct device *d, char *text, size_t size)
{
    if (d->run == &operations)
        snprintf(text, size, "cuda_emulated");
    else
        device_describe(d, text, size);
}
