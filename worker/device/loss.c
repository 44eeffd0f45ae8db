/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/device/loss.h"

#include <math.h>

bool loss_is_shaped(const struct loss_shape *s)
{
    return s && (s->smoothing > 0 || s->gamma > 0);
}

/* Of the largest logit 1 - p is summed from the others: it may be too near to 0 for a difference. */
struct softmax {
    double max, sum, others;
    size_t largest;
};

static struct softmax softmax_of(const float *logits, size_t L)
{
    struct softmax s = {.max = logits[0]};
    for (size_t l = 1; l < L; l++)
        if ((double)logits[l] > s.max) {
            s.max = logits[l];
            s.largest = l;
        }
    for (size_t l = 0; l < L; l++)
        if (l != s.largest)
            s.others += exp(logits[l] - s.max);
    s.sum = s.others + 1;
    return s;
}

double loss_of_class(float *dlogits, const float *logits, size_t L, size_t class, const float *weights,
                     const struct loss_shape *s)
{
    struct softmax soft = softmax_of(logits, L);
    double loss = 0, slopes = 0;
    for (int pass = 0; pass < (dlogits ? 2 : 1); pass++) /* dlogits need the sum of all slopes */
        for (size_t l = 0; l < L; l++) {
            double q = (l == class ? 1 - s->smoothing : 0) + s->smoothing / (double)L, p = exp(logits[l] - soft.max) / soft.sum;
            double other = l == soft.largest ? soft.others / soft.sum : 1 - p;
            struct loss_term t = loss_term_of(logits[l] - soft.max - log(soft.sum), other, s->gamma);
            double weight = q * (double)weights[l];
            if (pass == 1) {
                dlogits[l] = (float)(weight * t.slope - p * slopes);
            } else if (weight > 0) { /* 0 times the infinite loss of an impossible class is 0 */
                loss += weight * t.loss;
                slopes += weight * t.slope;
            }
        }
    return loss;
}

double loss_of_labels(float *dlogits, const float *logits, size_t L, const float *targets, const float *positive_weights,
                      const struct loss_shape *s)
{
    double loss = 0;
    for (size_t l = 0; l < L; l++) {
        double x = logits[l], target = targets[l] * (1 - s->smoothing) + s->smoothing / 2;
        double p = 1 / (1 + exp(-x)), other = 1 / (1 + exp(x));
        double there = target * (positive_weights ? (double)positive_weights[l] : 1), absent = 1 - target;
        struct loss_term a = loss_term_of(loss_log_sigmoid(x), other, s->gamma),
                         b = loss_term_of(loss_log_sigmoid(-x), p, s->gamma);
        loss += there * a.loss + absent * b.loss;
        if (dlogits)
            dlogits[l] = (float)(there * other * a.slope - absent * p * b.slope);
    }
    return loss;
}
