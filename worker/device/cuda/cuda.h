/* SPDX-License-Identifier: Apache-2.0 */
/* The cuda device, for device.c. */
#pragma once

#include "worker/device/device.h"

/* As device_create. On the GPU of the calling thread (cudaSetDevice), which alone may use it. */
int cuda_create(struct device **ret, enum precision precision, int threads, struct error *e);
