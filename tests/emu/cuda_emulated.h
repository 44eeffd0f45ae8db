/* SPDX-License-Identifier: Apache-2.0 */
/* Device "cuda_emulated": the cuda device on the host (emulate.h, runtime.h, cublaslt.h). */
#pragma once

#include "worker/device/device.h"

/* As device_create, which makes the other devices. threads: 1, 2, 3: a block's threads run forward, in reverse, shuffled. */
int emulated_device_create(struct device **ret, const char *name, enum precision precision, int threads, struct error *e);
void emulated_device_describe(const struct device *d, char *text, size_t size);
