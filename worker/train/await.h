/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for a device that works behind the host: for one mark of it, never without a deadline. */
#pragma once

#include "worker/comm/communicator.h"
#include "worker/device/device.h"

#include <stdbool.h>

/* Until the mark has passed; the communicator is watched meanwhile. ERROR_FAILED: the device or the communicator has failed, or
 * the device has not come so far within the communicator's timeout. */
int await_mark(struct device *d, struct communicator *c, uint64_t mark, struct error *e);
int await_failed(const struct communicator *c, struct error *e); /* puts this rank in front of the words of its device; -1 */
/* Waits likewise. Whether what it was asked before the mark is over, done or failed, so that it writes no memory of the host any
 * more. */
bool await_end(struct device *d, struct communicator *c, uint64_t mark);
