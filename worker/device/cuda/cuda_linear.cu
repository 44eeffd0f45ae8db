/* SPDX-License-Identifier: Apache-2.0 */
/* Linear maps: cuBLASLt's products, own activations and bias gradients; and the classifier, in f32. */
#include "worker/device/cuda/cuda_operations.h"

#include "worker/device/cuda/columns.cuh"
#include "worker/device/cuda/matmul.h"

/* The bias as the product takes it: in bf16 it is rounded first, as weights are. */
static const void *bias_of(struct cuda *c, device_memory bias, size_t O)
{
    if (!bias.address || !cuda_half(c))
        return cuda_at<void>(bias);
    void *rounded = cuda_scratch(c, O * sizeof(bf16));
    if (rounded)
        c->base.run->round_to_activation(&c->base, {(uintptr_t)rounded}, bias, O);
    return rounded;
}

static void linear_forward(struct device *d, device_memory y, device_memory pre, device_memory x, device_memory w,
                           device_memory bias, enum activation activation, size_t N, size_t K, size_t O)
{
    struct cuda *c = cuda_of(d);
    device_memory to = pre.address ? pre : y;
    d->flops += 2.0 * (double)N * (double)K * (double)O;
    cuda_multiply(c, PRODUCT_FORWARD, cuda_at<void>(to), cuda_at<void>(x), cuda_at<void>(w), bias_of(c, bias, O), false, N, K, O);
    if (activation != ACTIVATION_NONE || to.address != y.address)
        cuda_activate(c, y, to, activation, N * O);
}

template <typename A>
static void bias_backward(struct cuda *c, device_memory dbias, device_memory dy, size_t N, size_t O)
{
    float *scratch = (float *)cuda_scratch(c, columns_scratch(1, N, O) * sizeof *scratch);
    float *const to[] = {cuda_at<float>(dbias)};
    if (scratch)
        columns_sum(c, to, columns_of<A>{cuda_at<A>(dy), O}, scratch, N, O);
}

static void linear_backward(struct device *d, device_memory dx, device_memory dw, device_memory dbias, device_memory dy,
                            device_memory x, device_memory w, int add_dx, size_t N, size_t K, size_t O)
{
    struct cuda *c = cuda_of(d);
    double each = 2.0 * (double)N * (double)K * (double)O;
    d->flops += (dx.address ? each : 0) + (dw.address ? each : 0);
    if (dx.address)
        cuda_multiply(c, PRODUCT_INPUT, cuda_at<void>(dx), cuda_at<void>(dy), cuda_at<void>(w), NULL, add_dx != 0, N, K, O);
    if (dw.address)
        cuda_multiply(c, PRODUCT_WEIGHT, cuda_at<void>(dw), cuda_at<void>(dy), cuda_at<void>(x), NULL, false, N, K, O);
    if (dbias.address)
        BY_ACT(c, bias_backward, c, dbias, dy, N, O);
}

/* A warp a logit. */
template <typename A>
KERNEL void classified(float *logits, const A *x, const float *w, const float *bias, size_t B, size_t C, size_t L)
{
    size_t i = (size_t)blockIdx.x * 8 + threadIdx.x / 32, b = i / L, l = i % L;
    if (b >= B)
        return;
    float sum = 0, u[8], v[8];
    for (size_t c = threadIdx.x % 32 * 8; c < C; c += 256) {
        load_octet(u, x + b * C, c, C);
        load_octet(v, w + l * C, c, C);
        UNROLL for (int k = 0; k < 8; k++) sum += u[k] * v[k];
    }
    sum = warp_sum(sum);
    if (threadIdx.x % 32 == 0)
        logits[i] = bias[l] + sum;
}

/* dx: a thread eight of a row. */
template <typename A>
KERNEL void classified_input(A *dx, const float *dlogits, const float *w, size_t B, size_t C, size_t L)
{
    struct octet at;
    float sum[8] = {0}, v[8];
    if (!find_octet(&at, B, C))
        return;
    for (size_t l = 0; l < L; l++) {
        float g = dlogits[at.vector * L + l];
        load_octet(v, w + l * C, at.c, C);
        UNROLL for (int i = 0; i < 8; i++) sum[i] += g * v[i];
    }
    store_octet(dx + at.vector * C, at.c, C, sum);
}

/* dw: a thread eight of a label's. */
template <typename A>
KERNEL void classified_weight(float *dw, const float *dlogits, const A *x, size_t B, size_t C, size_t L)
{
    struct octet at;
    float sum[8] = {0}, v[8];
    if (!find_octet(&at, L, C))
        return;
    for (size_t b = 0; b < B; b++) {
        float g = dlogits[b * L + at.vector];
        load_octet(v, x + b * C, at.c, C);
        UNROLL for (int i = 0; i < 8; i++) sum[i] += g * v[i];
    }
    store_octet(dw + at.vector * C, at.c, C, sum);
}

template <typename A>
static void classify(struct cuda *c, device_memory logits, device_memory x, device_memory w, device_memory bias, size_t B,
                     size_t C, size_t L)
{
    LAUNCH_WARPS(c, classified<A>, B * L, cuda_at<float>(logits), cuda_at<A>(x), cuda_at<float>(w), cuda_at<float>(bias), B, C,
                 L);
}

template <typename A>
static void classify_backward(struct cuda *c, device_memory dx, device_memory dw, device_memory dlogits, device_memory x,
                              device_memory w, size_t B, size_t C, size_t L)
{
    if (dw.address)
        LAUNCH_THREADS(c, classified_weight<A>, octets_of(L, C), cuda_at<float>(dw), cuda_at<float>(dlogits), cuda_at<A>(x), B, C,
                       L);
    LAUNCH_THREADS(c, classified_input<A>, octets_of(B, C), cuda_at<A>(dx), cuda_at<float>(dlogits), cuda_at<float>(w), B, C, L);
}

static void classifier_forward(struct device *d, device_memory logits, device_memory x, device_memory w, device_memory bias,
                               size_t B, size_t C, size_t L)
{
    BY_ACT(cuda_of(d), classify, cuda_of(d), logits, x, w, bias, B, C, L);
}

static void classifier_backward(struct device *d, device_memory dx, device_memory dw, device_memory dbias, device_memory dlogits,
                                device_memory x, device_memory w, size_t B, size_t C, size_t L)
{
    struct cuda *c = cuda_of(d);
    if (dbias.address)
        bias_backward<float>(c, dbias, dlogits, B, L);
    BY_ACT(c, classify_backward, c, dx, dw, dlogits, x, w, B, C, L);
}

void cuda_linear_operations(struct device_operations *to)
{
    to->linear_forward = linear_forward;
    to->linear_backward = linear_backward;
    to->classifier_forward = classifier_forward;
    to->classifier_backward = classifier_backward;
}
