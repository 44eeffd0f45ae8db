/* SPDX-License-Identifier: Apache-2.0 */
/* Give a table of operations those of a device that is a struct cuda, by file. Attention does not count d->flops, but where keys are not
 * made. */
#pragma once

#include "worker/device/cuda/cuda_device.h"

void cuda_attention_operations(struct device_operations *to);
void cuda_normalize_operations(struct device_operations *to);
void cuda_token_operations(struct device_operations *to);
void cuda_activation_operations(struct device_operations *to);
void cuda_loss_operations(struct device_operations *to);
void cuda_optimizer_operations(struct device_operations *to);
void cuda_linear_operations(struct device_operations *to);
