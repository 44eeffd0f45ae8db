/* SPDX-License-Identifier: Apache-2.0 */
/* The fast device of the host. */
#pragma once

#include "worker/device/device.h"

int cpu_create(struct device **ret, enum precision precision, int threads, struct error *e);
void cpu_describe(const struct device *d, char *text, size_t size);
/* y f32 (N,O) = x act (N,K) times w act (O,K) transposed: the bare product, for device_gemm_rate. */
void cpu_product(struct device *d, device_memory y, device_memory x, device_memory w, size_t N, size_t K, size_t O);
