/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the reference device's classifier, losses and optimiser. */
#include "worker/device/cpu_reference.h"
#include "worker/device/host.h"
#include "worker/device/host_memory.h"

#include <math.h>
#include <string.h>

void reference_first_tokens(struct device *d, device_memory y, device_memory x, device_memory offsets, size_t B, size_t C)
{
    size_t bytes = C * precision_bytes(d->precision);
    for (size_t b = 0; b < B; b++)
        memcpy((char *)host_pointer(y) + b * bytes, (char *)host_pointer(x) + (size_t)host_i32(offsets)[b] * bytes, bytes);
}

void reference_first_tokens_backward(struct device *d, device_memory dx, device_memory dy, device_memory offsets, size_t B,
                                     size_t T, size_t C)
{
    size_t bytes = C * precision_bytes(d->precision);
    host_zero(d, dx, T * bytes);
    for (size_t b = 0; b < B; b++)
        memcpy((char *)host_pointer(dx) + (size_t)host_i32(offsets)[b] * bytes, (char *)host_pointer(dy) + b * bytes, bytes);
}

void reference_replace_first_tokens(struct device *d, device_memory x, device_memory y, device_memory offsets, size_t B, size_t C)
{
    size_t bytes = C * precision_bytes(d->precision);
    for (size_t b = 0; b < B; b++) {
        char *to = (char *)host_pointer(x) + (size_t)host_i32(offsets)[b] * bytes;
        if (y.address)
            memcpy(to, (char *)host_pointer(y) + b * bytes, bytes);
        else
            memset(to, 0, bytes);
    }
}

void reference_mean_tokens(struct device *d, device_memory y, device_memory x, device_memory offsets, size_t B, size_t C)
{
    for (size_t i = 0; i < B * C; i++) {
        size_t from = (size_t)host_i32(offsets)[i / C], to = (size_t)host_i32(offsets)[i / C + 1];
        double sum = 0;
        for (size_t t = from; t < to; t++)
            sum += act_get(d, x, t * C + i % C);
        act_put(d, y, i, (float)(sum / (double)(to - from)));
    }
}

void reference_mean_tokens_backward(struct device *d, device_memory dx, device_memory dy, device_memory offsets, size_t B,
                                    size_t C)
{
    for (size_t i = 0; i < B * C; i++) {
        size_t from = (size_t)host_i32(offsets)[i / C], to = (size_t)host_i32(offsets)[i / C + 1];
        for (size_t t = from; t < to; t++)
            act_put(d, dx, t * C + i % C, act_get(d, dy, i) / (float)(to - from));
    }
}

void reference_classifier_forward(struct device *d, device_memory logits, device_memory x, device_memory w, device_memory bias,
                                  size_t B, size_t C, size_t L)
{
    for (size_t b = 0; b < B; b++)
        for (size_t l = 0; l < L; l++) {
            double sum = host_f32(bias)[l];
            for (size_t c = 0; c < C; c++)
                sum += (double)act_get(d, x, b * C + c) * host_f32(w)[l * C + c];
            host_f32(logits)[b * L + l] = (float)sum;
        }
}

void reference_classifier_backward(struct device *d, device_memory dx, device_memory dw, device_memory dbias,
                                   device_memory dlogits, device_memory x, device_memory w, size_t B, size_t C, size_t L)
{
    const float *g = host_f32(dlogits);
    for (size_t l = 0; dw.address && l < L; l++) {
        double sum = 0;
        for (size_t b = 0; b < B; b++)
            sum += g[b * L + l];
        host_f32(dbias)[l] = (float)sum;
        for (size_t c = 0; c < C; c++) {
            sum = 0;
            for (size_t b = 0; b < B; b++)
                sum += (double)g[b * L + l] * act_get(d, x, b * C + c);
            host_f32(dw)[l * C + c] = (float)sum;
        }
    }
    for (size_t b = 0; b < B; b++)
        for (size_t c = 0; c < C; c++) {
            double sum = 0;
            for (size_t l = 0; l < L; l++)
                sum += (double)g[b * L + l] * host_f32(w)[l * C + c];
            act_put(d, dx, b * C + c, (float)sum);
        }
}

void reference_cross_entropy(struct device *d, device_memory loss, device_memory dlogits, device_memory logits,
                             device_memory classes, device_memory weights, const struct loss_shape *shape, size_t B, size_t L)
{
    (void)d;
    for (size_t b = 0; b < B; b++) {
        const float *x = host_f32(logits) + b * L;
        size_t class = (size_t)host_i32(classes)[b];
        if (loss_is_shaped(shape)) {
            float *slopes = dlogits.address ? host_f32(dlogits) + b * L : NULL;
            host_f32(loss)[b] = (float)loss_of_class(slopes, x, L, class, host_f32(weights), shape);
            continue;
        }
        double max = -INFINITY, sum = 0, weight = host_f32(weights)[class];
        for (size_t l = 0; l < L; l++)
            max = fmax(max, x[l]);
        for (size_t l = 0; l < L; l++)
            sum += exp(x[l] - max);
        host_f32(loss)[b] = (float)(weight * (max + log(sum) - x[class]));
        for (size_t l = 0; dlogits.address && l < L; l++)
            host_f32(dlogits)[b * L + l] = (float)(weight * (exp(x[l] - max) / sum - (l == class)));
    }
}

/* loss = (1 - t) x + w softplus(-x), w = 1 + (positive - 1) t. */
void reference_binary_cross_entropy(struct device *d, device_memory loss, device_memory dlogits, device_memory logits,
                                    device_memory targets, device_memory positive_weights, const struct loss_shape *shape,
                                    size_t B, size_t L)
{
    (void)d;
    const float *weights = positive_weights.address ? host_f32(positive_weights) : NULL;
    for (size_t b = 0; b < B; b++) {
        double sum = 0;
        if (loss_is_shaped(shape)) {
            float *slopes = dlogits.address ? host_f32(dlogits) + b * L : NULL;
            host_f32(loss)[b] =
                (float)loss_of_labels(slopes, host_f32(logits) + b * L, L, host_f32(targets) + b * L, weights, shape);
            continue;
        }
        for (size_t l = 0; l < L; l++) {
            double x = host_f32(logits)[b * L + l], t = host_f32(targets)[b * L + l];
            double positive = weights ? weights[l] : 1, w = 1 + (positive - 1) * t;
            sum += (1 - t) * x + w * (log1p(exp(-fabs(x))) + fmax(-x, 0));
            if (dlogits.address)
                host_f32(dlogits)[b * L + l] = (float)((1 - t) - w / (1 + exp(x)));
        }
        host_f32(loss)[b] = (float)sum;
    }
}

void reference_scale_columns(struct device *d, device_memory y, size_t y_stride, device_memory x, size_t x_stride, float scale,
                             int add, size_t N, size_t O)
{
    for (size_t n = 0; n < N; n++)
        for (size_t o = 0; o < O; o++) {
            float scaled = scale * act_get(d, x, n * x_stride + o);
            act_put(d, y, n * y_stride + o, add ? act_get(d, y, n * y_stride + o) + scaled : scaled);
        }
}

void reference_add(struct device *d, device_memory y, device_memory x, size_t n)
{
    (void)d;
    for (size_t i = 0; i < n; i++)
        host_f32(y)[i] += host_f32(x)[i];
}

void reference_sum_of_squares(struct device *d, device_memory sum, device_memory x, size_t n)
{
    (void)d;
    double ret = 0;
    for (size_t i = 0; i < n; i++)
        ret += (double)host_f32(x)[i] * host_f32(x)[i];
    *host_f64(sum) = ret;
}

void reference_loss_sums(struct device *d, device_memory sums, device_memory bad, device_memory losses, size_t n, size_t each)
{
    (void)d;
    *host_f32(bad) = 0;
    for (size_t i = 0; i < n; i++) {
        float loss = host_f32(losses)[i];
        double before = i % each ? host_f64(sums)[i / each] : 0;
        host_f64(sums)[i / each] = before + (double)loss;
        if (!isfinite(loss))
            *host_f32(bad) = 1;
    }
}

void reference_clip(struct device *d, device_memory control, device_memory sum, device_memory bad, double divisor, double clip)
{
    (void)d;
    struct step_control *c = host_control(control);
    c->norm = sqrt(*host_f64(sum)) / divisor;
    double coefficient = clip > 0 ? clip / (c->norm + 1e-6) : 1;
    c->scale = (float)((coefficient < 1 ? coefficient : 1) / divisor);
    c->bad |= !isfinite(c->norm) || *host_f32(bad) != 0;
}

/* Single precision throughout, in this order: every device gives these bits. */
static void adamw_one(float *p, float gradient, float *m, float *v, float scale, const struct adamw *a)
{
    float g = gradient * scale + 0.0f;
    *p *= 1 - a->learning_rate * a->decay;
    *m = a->beta1 * *m + (1 - a->beta1) * g;
    *v = a->beta2 * *v + (1 - a->beta2) * g * g;
    *p -= a->learning_rate / a->correction1 * (*m / (sqrtf(*v) / sqrtf(a->correction2) + a->epsilon));
}

void reference_adamw(struct device *d, device_memory p, device_memory shadow, device_memory g, device_memory m, device_memory v,
                     const struct adamw *a, device_memory control, size_t n)
{
    const struct step_control *c = host_control(control);
    for (size_t i = 0; i < n && !c->bad; i++) {
        adamw_one(host_f32(p) + i, host_f32(g)[i], host_f32(m) + i, host_f32(v) + i, c->scale, a);
        if (shadow.address)
            act_put(d, shadow, i, host_f32(p)[i]);
    }
}

void reference_adamw_rows(struct device *d, device_memory p, device_memory g, device_memory m, device_memory v,
                          device_memory seen, device_memory slot_of, const struct adamw *a, device_memory control, size_t V,
                          size_t C)
{
    (void)d;
    const struct step_control *c = host_control(control);
    uint8_t *was_seen = host_pointer(seen);
    for (size_t row = 0; row < V && !c->bad; row++) {
        int32_t slot = host_i32(slot_of)[row];
        was_seen[row] |= slot >= 0;
        for (size_t i = row * C; i < (row + 1) * C; i++)
            if (was_seen[row])
                adamw_one(host_f32(p) + i, slot < 0 ? 0 : host_f32(g)[(size_t)slot * C + i - row * C], host_f32(m) + i,
                          host_f32(v) + i, c->scale, a);
            else
                host_f32(p)[i] *= 1 - a->learning_rate * a->decay;
    }
}

void reference_widen_activation(struct device *d, device_memory y, device_memory x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        host_f32(y)[i] = act_get(d, x, i);
}

void reference_round_to_activation(struct device *d, device_memory y, device_memory x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        act_put(d, y, i, host_f32(x)[i]);
}
