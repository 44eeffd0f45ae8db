/* SPDX-License-Identifier: Apache-2.0 */
/* What operations (device.h) and the kernels that carry them out have in common. */
#pragma once

#include "common/base/precision.h"
#include "common/format/model_config.h"

#include <stddef.h>

/* What a query of window_attention sees: tokens of its row that are `half` away or nearer; 0: all. first: the row's first, too.
 */
struct attention_window {
    size_t half;
    int first;
};

/* AdamW (Loshchilov, Hutter, 2019), as torch.optim.AdamW: p *= 1 - lr * decay; m, v as Adam;
 * p -= lr / correction1 * m / (sqrt(v) / sqrt(correction2) + eps), correction = 1 - beta^t.
 * The gradient is fma(g, scale, 0): scale carries 1 / (sum of weights) and the clip; adding 0 turns -0 into +0, so that an absent
 * contribution and one of zero give the same bits. */
struct adamw {
    float learning_rate, beta1, beta2, epsilon, decay, scale;
    float correction1, correction2;
};
