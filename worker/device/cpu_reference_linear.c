/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the reference device's linear maps and activations. */
#include "worker/device/cpu_reference.h"
#include "worker/device/host.h"

#include <math.h>

static double gelu(double x)
{
    return 0.5 * x * (1 + erf(x / M_SQRT2));
}

static double gelu_slope(double x)
{
    return 0.5 * (1 + erf(x / M_SQRT2)) + x * exp(-0.5 * x * x) / sqrt(2 * M_PI);
}

/* Hendrycks, Gimpel, 2016, the tanh form. */
static double gelu_new(double x)
{
    return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}

static double gelu_new_slope(double x)
{
    double t = tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x));
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * sqrt(2 / M_PI) * (1 + 3 * 0.044715 * x * x);
}

static double identity(double x)
{
    return x;
}

static double one(double x)
{
    (void)x;
    return 1;
}

static double relu(double x)
{
    return x < 0 ? 0 : x; /* a NaN stays one */
}

static double relu_slope(double x)
{
    return x > 0 ? 1 : 0;
}

static double tanh_slope_of_output(double y)
{
    return 1 - y * y;
}

static const struct {
    double (*forward)(double pre), (*again)(double pre), (*slope)(double pre);
} activations[] = {
    [ACTIVATION_NONE] = {identity, identity, one},
    [ACTIVATION_GELU] = {gelu, gelu, gelu_slope},
    [ACTIVATION_GELU_NEW] = {gelu_new, gelu_new, gelu_new_slope},
    [ACTIVATION_RELU] = {relu, relu, relu_slope},
    [ACTIVATION_TANH] = {tanh, identity, tanh_slope_of_output},
};

void reference_linear_forward(struct device *d, device_memory y, device_memory pre, device_memory x, device_memory w,
                              device_memory bias, enum activation activation, size_t N, size_t K, size_t O)
{
    d->flops += 2.0 * (double)N * (double)K * (double)O;
    for (size_t n = 0; n < N; n++)
        for (size_t o = 0; o < O; o++) {
            double sum = bias.address ? host_f32(bias)[o] : 0;
            for (size_t k = 0; k < K; k++)
                sum += (double)act_get(d, x, n * K + k) * act_get(d, w, o * K + k);
            if (pre.address) {
                act_put(d, pre, n * O + o, (float)sum);
                sum = act_get(d, pre, n * O + o); /* what backward will see */
            }
            act_put(d, y, n * O + o, (float)activations[activation].forward(sum));
        }
}

void reference_linear_backward(struct device *d, device_memory dx, device_memory dw, device_memory dbias, device_memory dy,
                               device_memory x, device_memory w, int add_dx, size_t N, size_t K, size_t O)
{
    d->flops += ((dx.address ? 2.0 : 0) + (dw.address ? 2.0 : 0)) * (double)N * (double)K * (double)O;
    for (size_t i = 0; dx.address && i < N * K; i++) {
        double sum = add_dx ? act_get(d, dx, i) : 0;
        for (size_t o = 0; o < O; o++)
            sum += (double)act_get(d, dy, i / K * O + o) * act_get(d, w, o * K + i % K);
        act_put(d, dx, i, (float)sum);
    }
    for (size_t i = 0; dw.address && i < O * K; i++) {
        double sum = 0;
        for (size_t n = 0; n < N; n++)
            sum += (double)act_get(d, dy, n * O + i / K) * act_get(d, x, n * K + i % K);
        host_f32(dw)[i] = (float)sum;
    }
    for (size_t o = 0; dbias.address && o < O; o++) {
        double sum = 0;
        for (size_t n = 0; n < N; n++)
            sum += act_get(d, dy, n * O + o);
        host_f32(dbias)[o] = (float)sum;
    }
}

void reference_activation_backward(struct device *d, device_memory dpre, device_memory y, device_memory dy, device_memory pre,
                                   enum activation activation, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float x = act_get(d, pre, i);
        if (dpre.address)
            act_put(d, dpre, i, (float)(act_get(d, dy, i) * activations[activation].slope(x)));
        if (y.address)
            act_put(d, y, i, (float)activations[activation].again(x));
    }
}

void reference_gated_forward(struct device *d, device_memory y, device_memory pre, enum activation activation, size_t N, size_t F)
{
    for (size_t i = 0; i < N * F; i++) {
        size_t at = i / F * 2 * F + i % F;
        act_put(d, y, i, (float)(activations[activation].forward(act_get(d, pre, at)) * act_get(d, pre, at + F)));
    }
}

void reference_gated_backward(struct device *d, device_memory dpre, device_memory y, device_memory dy, device_memory pre,
                              enum activation activation, size_t N, size_t F)
{
    for (size_t i = 0; i < N * F; i++) {
        size_t at = i / F * 2 * F + i % F;
        double x = act_get(d, pre, at), gate = act_get(d, pre, at + F);
        if (dpre.address) {
            double g = act_get(d, dy, i);
            act_put(d, dpre, at, (float)(g * gate * activations[activation].slope(x)));
            act_put(d, dpre, at + F, (float)(g * activations[activation].forward(x)));
        }
        if (y.address)
            act_put(d, y, i, (float)(activations[activation].forward(x) * gate));
    }
}

void reference_rotate(struct device *d, device_memory x, device_memory positions, float theta, int backward, size_t T,
                      size_t heads, size_t D, size_t stride)
{
    for (size_t i = 0; i < T * heads * (D / 2); i++) {
        size_t t = i / (D / 2) / heads, pair = i % (D / 2), at = t * stride + i / (D / 2) % heads * D + pair;
        float frequency = 1 / powf(theta, (float)(2 * pair) / (float)D), angle = (float)host_i32(positions)[t] * frequency;
        double a = act_get(d, x, at), b = act_get(d, x, at + D / 2), c = cos(angle), s = backward ? -sin(angle) : sin(angle);
        act_put(d, x, at, (float)(a * c - b * s));
        act_put(d, x, at + D / 2, (float)(b * c + a * s));
    }
}
