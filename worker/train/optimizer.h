/* SPDX-License-Identifier: Apache-2.0 */
/* One step of AdamW over the whole table of parameters: clips the global norm (torch.nn.utils.clip_grad_norm_), decays what the
 * table says. All is asked of the device, nothing waited for. */
#pragma once

#include "worker/nn/parameters.h"

struct optimizer;

void optimizer_create(struct optimizer **ret, struct parameters *p /* borrowed, made for training */, struct device *d,
                      double weight_decay, double clip /* 0 or less: none */);
/* Layer-wise learning rates, as of ELECTRA and BEiT: of the head lr, of layer i of n (0-based) lr * decay^(n - i), of the
 * embeddings lr * decay^(n + 1). */
void optimizer_decay_layers(struct optimizer *o, double decay);
void optimizer_destroy(struct optimizer **o);
/* The norm of gradient / divisor, over the dense arena and the U rows of words behind it, and whether an update may follow: `bad`
 * and `control` as of the device's clip; sum f64 (1). */
void optimizer_clip(struct optimizer *o, device_memory control, device_memory sum, device_memory bad, device_memory gradient,
                    size_t U, double divisor);
/* Applies the gradient as `control` has it. t: number of this step, 1-based. slot_of: i32 (V), of adamw_rows. */
void optimizer_apply(struct optimizer *o, device_memory control, device_memory gradient, device_memory slot_of, double lr,
                     uint64_t t);
