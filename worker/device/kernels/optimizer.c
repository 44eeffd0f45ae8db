/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the loops over arenas, and the classifier's. */
#include "worker/device/kernels/names.h"
#include "worker/device/kernels/vector.h"

#include <math.h>

void KERNEL(add)(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i += LANES)
        store_most(y + i, load_most(y + i, n - i) + load_most(x + i, n - i), n - i);
}

void KERNEL(scale)(float *p, float factor, size_t n)
{
    for (size_t i = 0; i < n; i += LANES)
        store_most(p + i, load_most(p + i, n - i) * splat(factor), n - i);
}

/* 16 sums whatever the instruction set; products are exact in double: the same bits everywhere. */
double KERNEL(sum_of_squares)(const float *x, size_t n)
{
    double sums[16] = {0};
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (int k = 0; k < 16; k++)
            sums[k] += (double)x[i + (size_t)k] * x[i + (size_t)k];
    for (; i < n; i++)
        sums[i % 16] += (double)x[i] * x[i];
    for (int half = 8; half > 0; half /= 2)
        for (int k = 0; k < half; k++)
            sums[k] += sums[k + half];
    return sums[0];
}

struct factors {
    vector scale, keep, beta1, rest1, beta2, rest2, rate, root, epsilon;
};

INLINE void adamw_part(const struct factors *f, float *p, act *shadow, const float *g, float *m, float *v, size_t n)
{
    vector gradient = (g ? load_most(g, n) : splat(0)) * f->scale + splat(0);
    vector first = f->beta1 * load_most(m, n) + f->rest1 * gradient;
    vector second = f->beta2 * load_most(v, n) + f->rest2 * gradient * gradient;
    vector parameter = load_most(p, n) * f->keep;
    parameter -= f->rate * (first / (square_root(second) / f->root + f->epsilon));
    store_most(m, first, n);
    store_most(v, second, n);
    store_most(p, parameter, n);
    if (shadow)
        act_store_most(shadow, parameter, n);
}

/* The same operations in the same order as the reference, none fused: the same bits. */
void KERNEL(adamw)(float *p, void *shadow, const float *g, float *m, float *v, const struct adamw *a, float scale, size_t n)
{
    struct factors f = {splat(scale),
                        splat(1 - a->learning_rate * a->decay),
                        splat(a->beta1),
                        splat(1 - a->beta1),
                        splat(a->beta2),
                        splat(1 - a->beta2),
                        splat(a->learning_rate / a->correction1),
                        splat(sqrtf(a->correction2)),
                        splat(a->epsilon)};
    for (size_t i = 0; i < n; i += LANES)
        adamw_part(&f, p + i, shadow ? (act *)shadow + i : NULL, g ? g + i : NULL, m + i, v + i, n - i);
}

void KERNEL(classifier)(float *logits, const void *x, const float *w, const float *bias, size_t B, size_t C, size_t L)
{
    for (size_t i = 0; i < B * L; i++) {
        const act *row = (const act *)x + i / L * C;
        const float *weight = w + i % L * C;
        vector sum = splat(0);
        for (size_t c = 0; c < C; c += LANES)
            sum = multiply_add(act_load_most(row + c, C - c), load_most(weight + c, C - c), sum);
        logits[i] = bias[i % L] + sum_lanes(sum);
    }
}

void KERNEL(classifier_input)(void *dx, const float *dlogits, const float *w, size_t B, size_t C, size_t L)
{
    for (size_t b = 0; b < B; b++)
        for (size_t c = 0; c < C; c += LANES) {
            vector sum = splat(0);
            for (size_t l = 0; l < L; l++)
                sum = multiply_add(splat(dlogits[b * L + l]), load_most(w + l * C + c, C - c), sum);
            act_store_most((act *)dx + b * C + c, sum, C - c);
        }
}

void KERNEL(classifier_weight)(float *dw, float *dbias, const float *dlogits, const void *x, size_t B, size_t C, size_t L)
{
    for (size_t l = 0; l < L; l++) {
        dbias[l] = 0;
        for (size_t b = 0; b < B; b++)
            dbias[l] += dlogits[b * L + l];
        for (size_t c = 0; c < C; c += LANES) {
            vector sum = splat(0);
            for (size_t b = 0; b < B; b++)
                sum = multiply_add(splat(dlogits[b * L + l]), act_load_most((const act *)x + b * C + c, C - c), sum);
            store_most(dw + l * C + c, sum, C - c);
        }
    }
}
