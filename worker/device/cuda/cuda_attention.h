/* SPDX-License-Identifier: Apache-2.0 */
/* Gives a table of operations those of attention, of a device that is a struct cuda. They do not count d->flops. */
#pragma once

#include "worker/device/cuda/cuda_device.h"

void cuda_attention_operations(struct device_operations *to);
