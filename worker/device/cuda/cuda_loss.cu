/* SPDX-License-Identifier: Apache-2.0 */
/* Losses, in f64 as loss.h has them: a warp a row. Plain cross-entropy is that without smoothing and gamma. */
#include "worker/device/cuda/cuda_operations.h"

struct loss_rows {
    float *loss, *dlogits; /* dlogits: or NULL */
    const float *logits;
    double smoothing, gamma;
    size_t B, L;
};

/* Of a row of logits. others: the sum of exp(logit - max) but for the largest, which 1 - p of that one is made from. */
struct softmax {
    double max, log_sum, sum, others;
    size_t largest;
};

DEVICE struct softmax softmax_of(const float *logits, size_t L)
{
    struct softmax s = {};
    float max = -INFINITY, place = INFINITY;
    for (size_t l = threadIdx.x % 32; l < L; l += 32)
        if (logits[l] > max || place == INFINITY) {
            max = logits[l];
            place = (float)l; /* exact: fewer than 2^24 labels */
        }
    s.max = warp_max(max);
    s.largest = (size_t)-warp_max(max == (float)s.max ? -place : -(float)L);
    for (size_t l = threadIdx.x % 32; l < L; l += 32)
        s.others += l == s.largest ? 0 : exp(logits[l] - s.max);
    s.others = warp_sum(s.others);
    s.sum = s.others + 1;
    s.log_sum = log(s.sum);
    return s;
}

/* What label l, whose share of the target is q, weighted, contributes. */
DEVICE struct loss_term class_term(const struct softmax &s, const float *logits, size_t l, double gamma)
{
    double p = exp(logits[l] - s.max) / s.sum;
    return loss_term_of(logits[l] - s.max - s.log_sum, l == s.largest ? s.others / s.sum : 1 - p, gamma);
}

KERNEL void classes_lost(struct loss_rows r, const int *classes, const float *weights)
{
    size_t b = (size_t)blockIdx.x * 8 + threadIdx.x / 32;
    if (b >= r.B)
        return;
    const float *logits = r.logits + b * r.L;
    const struct softmax s = softmax_of(logits, r.L);
    double loss = 0, slopes = 0;
    for (size_t l = threadIdx.x % 32; l < r.L; l += 32) {
        double weight = ((l == (size_t)classes[b] ? 1 - r.smoothing : 0) + r.smoothing / (double)r.L) * weights[l];
        if (!(weight > 0))
            continue; /* 0 times the infinite loss of an impossible class is 0 */
        struct loss_term t = class_term(s, logits, l, r.gamma);
        loss += weight * t.loss;
        slopes += weight * t.slope;
    }
    loss = warp_sum(loss);
    slopes = warp_sum(slopes);
    if (threadIdx.x % 32 == 0)
        r.loss[b] = (float)loss;
    for (size_t l = threadIdx.x % 32; r.dlogits && l < r.L; l += 32) {
        double weight = ((l == (size_t)classes[b] ? 1 - r.smoothing : 0) + r.smoothing / (double)r.L) * weights[l];
        double own = weight > 0 ? weight * class_term(s, logits, l, r.gamma).slope : 0;
        r.dlogits[b * r.L + l] = (float)(own - exp(logits[l] - s.max) / s.sum * slopes);
    }
}

KERNEL void labels_lost(struct loss_rows r, const float *targets, const float *positive_weights)
{
    size_t b = (size_t)blockIdx.x * 8 + threadIdx.x / 32;
    if (b >= r.B)
        return;
    double loss = 0;
    for (size_t l = threadIdx.x % 32; l < r.L; l += 32) {
        double x = r.logits[b * r.L + l], target = targets[b * r.L + l] * (1 - r.smoothing) + r.smoothing / 2;
        double p = 1 / (1 + exp(-x)), other = 1 / (1 + exp(x));
        double there = target * (positive_weights ? (double)positive_weights[l] : 1), absent = 1 - target;
        struct loss_term t = loss_term_of(loss_log_sigmoid(x), other, r.gamma);
        struct loss_term f = loss_term_of(loss_log_sigmoid(-x), p, r.gamma);
        loss += there * t.loss + absent * f.loss;
        if (r.dlogits)
            r.dlogits[b * r.L + l] = (float)(there * other * t.slope - absent * p * f.slope);
    }
    loss = warp_sum(loss);
    if (threadIdx.x % 32 == 0)
        r.loss[b] = (float)loss;
}

static struct loss_rows rows_of(device_memory loss, device_memory dlogits, device_memory logits, const struct loss_shape *shape,
                                size_t B, size_t L)
{
    return {cuda_at<float>(loss),
            cuda_at<float>(dlogits),
            cuda_at<float>(logits),
            shape ? shape->smoothing : 0,
            shape ? shape->gamma : 0,
            B,
            L};
}

static void cross_entropy(struct device *d, device_memory loss, device_memory dlogits, device_memory logits,
                          device_memory classes, device_memory weights, const struct loss_shape *shape, size_t B, size_t L)
{
    LAUNCH_WARPS(cuda_of(d), classes_lost, B, rows_of(loss, dlogits, logits, shape, B, L), cuda_at<int>(classes),
                 cuda_at<float>(weights));
}

static void binary_cross_entropy(struct device *d, device_memory loss, device_memory dlogits, device_memory logits,
                                 device_memory targets, device_memory positive_weights, const struct loss_shape *shape, size_t B,
                                 size_t L)
{
    LAUNCH_WARPS(cuda_of(d), labels_lost, B, rows_of(loss, dlogits, logits, shape, B, L), cuda_at<float>(targets),
                 cuda_at<float>(positive_weights));
}

void cuda_loss_operations(struct device_operations *to)
{
    to->cross_entropy = cross_entropy;
    to->binary_cross_entropy = binary_cross_entropy;
}
