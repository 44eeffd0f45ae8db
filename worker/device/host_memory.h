/* SPDX-License-Identifier: Apache-2.0 */
/* The memory operations of devices whose memory is the host's; nothing runs later, nothing fails later. */
#pragma once

#include "worker/device/device.h"

int host_allocate(struct device *d, device_memory *ret, size_t bytes, struct error *e);
void host_release(struct device *d, device_memory m);
void host_upload(struct device *d, device_memory to, const void *from, size_t bytes);
void host_download(struct device *d, void *to, device_memory from, size_t bytes);
void host_zero(struct device *d, device_memory m, size_t bytes);
void host_copy(struct device *d, device_memory to, device_memory from, size_t bytes);
void *host_begin(struct device *d, device_memory m, size_t bytes);
void host_end(struct device *d, void *host, device_memory m, size_t bytes);
int host_finish(struct device *d, struct error *e);
uint64_t host_mark(struct device *d);
int host_passed(struct device *d, uint64_t mark, struct error *e);
