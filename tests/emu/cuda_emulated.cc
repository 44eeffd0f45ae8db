/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/device/cuda/cuda_device.h"

extern "C" {
#include "tests/emu/cuda_emulated.h"
}

#include <stdio.h>

int emulated_device_create(struct device **ret, const char *name, enum precision precision, int threads, struct error *e)
{
    if (strcmp(name, "cuda_emulated"))
        return device_create(ret, name, precision, threads, e);
    emulate_in((enum emulated_order)((threads - 1) % EMULATED_ORDERS));
    return cuda_create(ret, precision, threads, e);
}

void emulated_device_describe(const struct device *d, char *text, size_t size)
{
    if (d->run->kind == DEVICE_CUDA)
        snprintf(text, size, "cuda_emulated");
    else
        device_describe(d, text, size);
}
