/* SPDX-License-Identifier: Apache-2.0 */
/* What operations (device.h) and the kernels that carry them out have in common. */
#pragma once

#include "common/base/precision.h"
#include "common/format/model_config.h"

#include <stddef.h>
#include <stdint.h>

/* What a query of window_attention sees: tokens of its row that are `half` away or nearer; 0: all. first: the row's first, too.
 */
struct attention_window {
    size_t half;
    int first;
};

/* AdamW (Loshchilov, Hutter, 2019), as torch.optim.AdamW: p *= 1 - lr * decay; m, v as Adam;
 * p -= lr / correction1 * m / (sqrt(v) / sqrt(correction2) + eps), correction = 1 - beta^t.
 * The gradient is fma(g, scale, 0), scale of step_control; adding 0 turns -0 into +0, so that an absent contribution and one of
 * zero give the same bits. */
struct adamw {
    float learning_rate, beta1, beta2, epsilon, decay;
    float correction1, correction2;
};

/* What a step finds out before its update, as it lies in device memory: the host need not know it for the update to go on. */
struct step_control {
    double norm; /* of the gradient, before clipping */
    float scale; /* of the gradient: 1 / (sum of weights), and the clip */
    int32_t bad; /* training has diverged, in this step or an earlier one: no update does anything any more */
};
