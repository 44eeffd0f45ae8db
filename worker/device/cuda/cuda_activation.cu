/* SPDX-License-Identifier: Apache-2.0 */
/* Activations and gates: a thread eight neighbours. */
#include "worker/device/cuda/cuda_operations.h"

#include "worker/device/cuda/activation.cuh"
#include "worker/device/cuda/octet.cuh"

static const device_memory nothing = {0};

/* dpre = dy * activation'(pre), y = activation(pre); either may be NULL. */
template <typename A>
KERNEL void activated(A *dpre, A *y, const A *dy, const A *pre, enum activation activation, bool of_output, size_t n)
{
    struct octet at;
    float x[8], g[8];
    if (!find_octet(&at, 1, n))
        return;
    load_octet(x, pre, at.c, n);
    if (dpre) {
        load_octet(g, dy, at.c, n);
        UNROLL for (int i = 0; i < 8; i++) g[i] *= activation_slope(activation, x[i]);
        store_octet(dpre, at.c, n, g);
    }
    if (!y)
        return;
    UNROLL for (int i = 0; i < 8; i++) x[i] = of_output ? x[i] : activation_value(activation, x[i]);
    store_octet(y, at.c, n, x);
}

/* pre (N,2F): what is activated, and its gate. dpre may be pre. */
template <typename A>
KERNEL void gated(A *dpre, A *y, const A *dy, const A *pre, enum activation activation, size_t N, size_t F)
{
    struct octet at;
    float x[8], gate[8], value[8], g[8];
    if (!find_octet(&at, N, F))
        return;
    load_octet(x, pre + at.vector * 2 * F, at.c, F);
    load_octet(gate, pre + (at.vector * 2 + 1) * F, at.c, F);
    UNROLL for (int i = 0; i < 8; i++) value[i] = activation_value(activation, x[i]);
    if (dpre) {
        float dvalue[8], dgate[8];
        load_octet(g, dy + at.vector * F, at.c, F);
        UNROLL for (int i = 0; i < 8; i++)
        {
            dvalue[i] = g[i] * gate[i] * activation_slope(activation, x[i]);
            dgate[i] = g[i] * value[i];
        }
        store_octet(dpre + at.vector * 2 * F, at.c, F, dvalue);
        store_octet(dpre + (at.vector * 2 + 1) * F, at.c, F, dgate);
    }
    if (!y)
        return;
    UNROLL for (int i = 0; i < 8; i++) value[i] *= gate[i];
    store_octet(y + at.vector * F, at.c, F, value);
}

template <typename A>
static void activate(struct cuda *c, device_memory dpre, device_memory y, device_memory dy, device_memory pre,
                     enum activation activation, bool of_output, size_t n)
{
    LAUNCH_THREADS(c, activated<A>, octets_of(1, n), cuda_at<A>(dpre), cuda_at<A>(y), cuda_at<A>(dy), cuda_at<A>(pre), activation,
                   of_output, n);
}

template <typename A>
static void gate(struct cuda *c, device_memory dpre, device_memory y, device_memory dy, device_memory pre,
                 enum activation activation, size_t N, size_t F)
{
    LAUNCH_THREADS(c, gated<A>, octets_of(N, F), cuda_at<A>(dpre), cuda_at<A>(y), cuda_at<A>(dy), cuda_at<A>(pre), activation, N,
                   F);
}

void cuda_activate(struct cuda *c, device_memory y, device_memory pre, enum activation activation, size_t n)
{
    BY_ACT(c, activate, c, nothing, y, nothing, pre, activation, false, n);
}

static void activation_backward(struct device *d, device_memory dpre, device_memory y, device_memory dy, device_memory pre,
                                enum activation activation, size_t n)
{
    BY_ACT(cuda_of(d), activate, cuda_of(d), dpre, y, dy, pre, activation, activation == ACTIVATION_TANH, n);
}

static void gated_forward(struct device *d, device_memory y, device_memory pre, enum activation activation, size_t N, size_t F)
{
    BY_ACT(cuda_of(d), gate, cuda_of(d), nothing, y, nothing, pre, activation, N, F);
}

static void gated_backward(struct device *d, device_memory dpre, device_memory y, device_memory dy, device_memory pre,
                           enum activation activation, size_t N, size_t F)
{
    BY_ACT(cuda_of(d), gate, cuda_of(d), dpre, y, dy, pre, activation, N, F);
}

void cuda_activation_operations(struct device_operations *to)
{
    to->activation_backward = activation_backward;
    to->gated_forward = gated_forward;
    to->gated_backward = gated_backward;
}
