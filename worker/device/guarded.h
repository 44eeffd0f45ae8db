/* SPDX-License-Identifier: Apache-2.0 */
/* The cpu device with memory that faults when it is touched outside an operation or host_begin/host_end: what finds code that
 * accesses device memory. */
#pragma once

#include "worker/device/device.h"

int guarded_create(struct device **ret, enum precision precision, int threads, struct error *e);
void guarded_describe(const struct device *d, char *text, size_t size);
