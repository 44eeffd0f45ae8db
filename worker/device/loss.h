/* SPDX-License-Identifier: Apache-2.0 */
/* Losses beyond plain cross-entropy: label smoothing and the focal loss, and both together. In f64; on the host the reference
 * device and the evaluation share them.
 *
 * One label a row, class y, class weights w: with q = (1 - smoothing) onehot(y) + smoothing / L and p = softmax(logits),
 *     loss = sum over c of q[c] w[c] (1 - p[c])^gamma -log p[c].
 * gamma 0 is torch's CrossEntropyLoss(weight, label_smoothing) before its division; smoothing 0 the focal loss (Lin et al., 2017)
 * with alpha = w.
 *
 * Several labels a row, targets t, positive weights w: with t' = t (1 - smoothing) + smoothing / 2 and p = sigmoid(logit),
 *     loss = sum over l of t' w (1 - p)^gamma -log p + (1 - t') p^gamma -log(1 - p).
 * gamma 0 is BCEWithLogitsLoss(pos_weight) on the smoothed targets (as Keras smooths them), smoothing 0 torchvision's
 * sigmoid_focal_loss. */
#pragma once

#include <math.h>
#include <stdbool.h>
#include <stddef.h>

#ifdef __CUDACC__
#define LOSS_FUNCTION static inline __host__ __device__
#else
#define LOSS_FUNCTION static inline
#endif

struct loss_shape {
    double smoothing; /* 0: none; below 1 */
    double gamma;     /* of the focal loss; 0: cross-entropy */
};

bool loss_is_shaped(const struct loss_shape *s /* or NULL */); /* false: plain cross-entropy */

/* The loss of a row, weighted, not divided. dlogits (L) is written, unless NULL. */
double loss_of_class(float *dlogits, const float *logits, size_t L, size_t label, const float *weights /* (L) */,
                     const struct loss_shape *s);
double loss_of_labels(float *dlogits, const float *logits, size_t L, const float *targets /* (L) */,
                      const float *positive_weights /* (L), or NULL */, const struct loss_shape *s);

/* --- what every device's losses are made of --- */

/* f = (1 - p)^gamma -log p of one probability, and p df/dp. */
struct loss_term {
    double loss, slope;
};

/* other: 1 - p, without cancellation. */
LOSS_FUNCTION struct loss_term loss_term_of(double log_p, double other, double gamma)
{
    double log_precise = other < 0.5 ? log1p(-other) : log_p, power = gamma > 0 ? pow(other, gamma) : 1;
    double bend = gamma > 0 && other > 0 ? gamma * exp(log_precise) * power * (log_precise / other) : 0;
    struct loss_term ret = {-power * log_precise, bend - power};
    return ret;
}

LOSS_FUNCTION double loss_log_sigmoid(double x)
{
    return -(log1p(exp(-fabs(x))) + fmax(-x, 0.0));
}
