/* SPDX-License-Identifier: Apache-2.0 */
/* The fast device of the host. */
#pragma once

#include "worker/device/device.h"

int cpu_create(struct device **ret, enum precision precision, int threads, struct error *e);
void cpu_describe(const struct device *d, char *text, size_t size);
