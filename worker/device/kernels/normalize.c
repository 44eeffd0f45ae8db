/* SPDX-License-Identifier: Apache-2.0 */
/* Owns LayerNorm's loops, with dropout, residual and embeddings fused to it. */
#include "worker/device/kernels/mask.h"
#include "worker/device/kernels/names.h"

#include <math.h>

INLINE vector dropped(const struct mask *m, const uint8_t *bits, size_t i, vector v)
{
    return m ? mask_keep(bits, i, v) * splat(m->scale) : v;
}

INLINE void mask_of(uint8_t *bits, const struct mask *m, size_t v, size_t C)
{
    if (m)
        mask_bits(bits, m, v, 0, (C + 7) / 8);
}

/* y and the statistics from the stored sum, whose elements add up to `total`; bits: of the dropout behind. */
INLINE void finish_row(const struct layer_norm *l, size_t row, float total, const uint8_t *bits)
{
    size_t C = l->C;
    const act *sum = (const act *)l->sum + row * C;
    float mean = total / (float)C;
    vector squares = splat(0);
    for (size_t c = 0; c < C; c += LANES) {
        vector off = act_load_most(sum + c, C - c) - splat(mean);
        if (C - c < LANES) /* what is behind the end is not off by the mean */
            off = load_part((const float *)&off, C - c);
        squares = multiply_add(off, off, squares);
    }
    float inverse = 1 / sqrtf(sum_lanes(squares) / (float)C + l->epsilon);
    l->statistics[2 * row] = mean;
    l->statistics[2 * row + 1] = inverse;
    for (size_t c = 0; c < C; c += LANES) {
        size_t n = C - c;
        vector x = (act_load_most(sum + c, n) - splat(mean)) * splat(inverse);
        vector gamma = load_most(l->gamma + c, n);
        x = l->beta ? multiply_add(x, gamma, load_most(l->beta + c, n)) : x * gamma;
        act_store_most((act *)l->y + row * C + c, bits ? mask_keep(bits, c, x) * splat(l->mask->scale) : x, n);
    }
}

void KERNEL(normalize)(const struct layer_norm *l, const void *x, const void *z, size_t from, size_t to)
{
    uint8_t bits[MASK_BYTES_MAX];
    for (size_t row = from; row < to; row++) {
        vector total = splat(0);
        mask_of(bits, l->mask, row, l->C);
        for (size_t c = 0; c < l->C; c += LANES) {
            size_t n = l->C - c, at = row * l->C + c;
            vector v = act_load_most((const act *)x + at, n);
            if (z)
                v = act_round(v + dropped(l->mask, bits, c, act_load_most((const act *)z + at, n)));
            act_store_most((act *)l->sum + at, v, n);
            total += v;
        }
        finish_row(l, row, sum_lanes(total), NULL);
    }
}

void KERNEL(embed)(const struct layer_norm *l, const int32_t *const ids[3], const float *const tables[3], size_t from, size_t to)
{
    uint8_t bits[MASK_BYTES_MAX];
    for (size_t t = from; t < to; t++) {
        const float *rows[3] = {NULL};
        for (int i = 0; i < 3; i++)
            if (tables[i])
                rows[i] = tables[i] + (size_t)ids[i][t] * l->C;
        vector total = splat(0);
        for (size_t c = 0; c < l->C; c += LANES) {
            size_t n = l->C - c;
            vector v = load_most(rows[0] + c, n);
            for (int i = 1; i < 3; i++)
                v = rows[i] ? v + load_most(rows[i] + c, n) : v;
            v = act_round(v);
            act_store_most((act *)l->sum + t * l->C + c, v, n);
            total += v;
        }
        mask_of(bits, l->mask, t, l->C);
        finish_row(l, t, sum_lanes(total), l->mask ? bits : NULL);
    }
}

/* g = dy gamma; dsum = (1/std) (g - mean(g) - xhat mean(g xhat)). */
INLINE void norm_backward_row(const struct norm_gradient *g, float *dgamma, float *dbeta, size_t row, const uint8_t *before,
                              const uint8_t *behind)
{
    size_t C = g->C;
    const act *dy = (const act *)g->dy + row * C, *sum = (const act *)g->sum + row * C;
    vector mean = splat(g->statistics[2 * row]), inverse = splat(g->statistics[2 * row + 1]);
    vector total = splat(0), with = splat(0);
    for (size_t c = 0; c < C; c += LANES) {
        size_t n = C - c;
        vector d = dropped(g->behind, behind, c, act_load_most(dy + c, n)), x = (act_load_most(sum + c, n) - mean) * inverse;
        vector v = d * load_most(g->gamma + c, n);
        total += v;
        with = multiply_add(v, x, with);
        store_most(dgamma + c, multiply_add(d, x, load_most(dgamma + c, n)), n);
        store_most(dbeta + c, load_most(dbeta + c, n) + d, n);
    }
    vector a = splat(sum_lanes(total) / (float)C), b = splat(sum_lanes(with) / (float)C);
    for (size_t c = 0; c < C; c += LANES) {
        size_t n = C - c;
        vector d = dropped(g->behind, behind, c, act_load_most(dy + c, n)), x = (act_load_most(sum + c, n) - mean) * inverse;
        vector v = (d * load_most(g->gamma + c, n) - a - x * b) * inverse;
        if (g->add)
            v += act_load_most((const act *)g->dx + row * C + c, n);
        act_store_most((act *)g->dx + row * C + c, v, n);
        if (g->dz)
            act_store_most((act *)g->dz + row * C + c, dropped(g->before, before, c, v), n);
    }
}

void KERNEL(normalize_backward)(const struct norm_gradient *g, float *dgamma, float *dbeta, size_t from, size_t to)
{
    uint8_t before[MASK_BYTES_MAX], behind[MASK_BYTES_MAX];
    for (size_t row = from; row < to; row++) {
        mask_of(before, g->before, row, g->C);
        mask_of(behind, g->behind, row, g->C);
        norm_backward_row(g, dgamma, dbeta, row, before, behind);
    }
}

void KERNEL(dropout)(void *y, const void *x, const struct mask *mask, int add, size_t from, size_t to, size_t C)
{
    uint8_t bits[MASK_BYTES_MAX];
    for (size_t row = from; row < to; row++) {
        mask_of(bits, mask, row, C);
        for (size_t c = 0; c < C; c += LANES) {
            size_t at = row * C + c;
            vector kept = dropped(mask, bits, c, act_load_most((const act *)x + at, C - c));
            act_store_most((act *)y + at, add ? act_load_most((const act *)y + at, C - c) + kept : kept, C - c);
        }
    }
}

void KERNEL(scatter_add)(float *y, const void *x, const int32_t *places, size_t T, size_t C, size_t from, size_t to)
{
    for (size_t t = 0; t < T; t++) {
        float *row = y + (size_t)places[t] * C;
        for (size_t c = from; c < to; c += LANES)
            store_most(row + c, load_most(row + c, to - c) + act_load_most((const act *)x + t * C + c, to - c), to - c);
    }
}

void KERNEL(rotate)(void *x, const float *turn, float sign, size_t heads, size_t D)
{
    size_t half = D / 2;
    for (size_t h = 0; h < heads; h++) {
        act *low = (act *)x + h * D, *high = low + half;
        for (size_t i = 0; i < half; i += LANES) {
            size_t n = half - i;
            vector a = act_load_most(low + i, n), b = act_load_most(high + i, n);
            vector c = load_most(turn + i, n), s = load_most(turn + half + i, n) * splat(sign);
            act_store_most(low + i, a * c - b * s, n);
            act_store_most(high + i, b * c + a * s, n);
        }
    }
}

void KERNEL(mean)(void *y, const void *x, size_t n, size_t C, size_t from, size_t to)
{
    for (size_t c = from; c < to; c += LANES) {
        vector sum = splat(0);
        for (size_t i = 0; i < n; i++)
            sum += act_load_most((const act *)x + i * C + c, to - c);
        act_store_most((act *)y + c, sum * splat(1 / (float)n), to - c);
    }
}

void KERNEL(mean_backward)(void *dx, const void *dy, size_t n, size_t C)
{
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < C; c += LANES)
            act_store_most((act *)dx + i * C + c, act_load_most((const act *)dy + c, C - c) * splat(1 / (float)n), C - c);
}
