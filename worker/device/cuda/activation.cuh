/* SPDX-License-Identifier: Apache-2.0 */
/* Activations on the GPU (model_config.h), in f32. */
#pragma once

#include "worker/device/cuda/cuda_device.h"

/* Of gelu_new: Hendrycks, Gimpel, 2016, the tanh form. */
DEVICE float gelu_new_tanh(float x)
{
    return tanhf(0.7978845608f * (x + 0.044715f * x * x * x));
}

DEVICE float activation_value(enum activation a, float x)
{
    switch (a) {
    case ACTIVATION_GELU:
        return 0.5f * x * (1 + erff(x * 0.7071067812f));
    case ACTIVATION_GELU_NEW:
        return 0.5f * x * (1 + gelu_new_tanh(x));
    case ACTIVATION_RELU:
        return x < 0 ? 0 : x; /* a NaN stays one */
    case ACTIVATION_TANH:
        return tanhf(x);
    default:
        return x;
    }
}

/* Of TANH, x is the output. */
DEVICE float activation_slope(enum activation a, float x)
{
    float t;
    switch (a) {
    case ACTIVATION_GELU:
        return 0.5f * (1 + erff(x * 0.7071067812f)) + x * expf(-0.5f * x * x) * 0.3989422804f;
    case ACTIVATION_GELU_NEW:
        t = gelu_new_tanh(x);
        return 0.5f * (1 + t) + 0.5f * x * (1 - t * t) * 0.7978845608f * (1 + 3 * 0.044715f * x * x);
    case ACTIVATION_RELU:
        return x > 0 ? 1 : 0;
    case ACTIVATION_TANH:
        return 1 - x * x;
    default:
        return 1;
    }
}
