/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the attention of first tokens to keys and values that are not made: with k = Wk x + bk and v = Wv x + bv, a head's scores
 * are (Wk^T q) . x, but for a number that all keys of a row share, and its output is Wv (sum of w x) + bv (sum of w). So tokens
 * meet H vectors of a row in place of the 2C of both maps. All sums are in f32, and each is made by one thread in an order that
 * the row alone decides. */
#include "worker/device/kernels/mask.h"
#include "worker/device/kernels/names.h"

#include <math.h>

#define LOG2E 1.44269504088896341f
#define HEADS 4   /* at a time, and */
#define TOKENS 64 /* that stay in the near caches meanwhile */
#define DRAWN 4096

static float value_of(const act *p)
{
    return act_load_part(p, 1)[0];
}

/* to += factor from, floats and act. */
static void add_scaled(float *to, const act *from, float factor, size_t n)
{
    for (size_t c = 0; c < n; c += LANES)
        store_most(to + c, multiply_add(act_load_most(from + c, n - c), splat(factor), load_most(to + c, n - c)), n - c);
}

/* to += factor from, floats both. */
static void add_scaled_floats(float *to, const float *from, float factor, size_t n)
{
    for (size_t c = 0; c < n; c += LANES)
        store_most(to + c, multiply_add(load_most(from + c, n - c), splat(factor), load_most(to + c, n - c)), n - c);
}

static float product(const act *a, const float *b, size_t n)
{
    vector sum = splat(0);
    for (size_t c = 0; c < n; c += LANES)
        sum = multiply_add(act_load_most(a + c, n - c), load_most(b + c, n - c), sum);
    return sum_lanes(sum);
}

/* Rows of a head in the keys' or, C rows behind them, the values' map. */
static const act *map_of(const struct projected_attention *p, size_t head, bool values)
{
    size_t C = p->H * p->D;
    return (const act *)p->w + ((values ? C : 0) + head * p->D) * C;
}

/* to (C) = w^T v, of a head's rows of w. */
static void spread(float *to, const act *w, const act *v, size_t D, size_t C)
{
    memset(to, 0, C * sizeof *to);
    for (size_t d = 0; d < D; d++)
        add_scaled(to, w + d * C, value_of(v + d), C);
}

void KERNEL(projected_spread)(const struct projected_attention *p, size_t row, size_t head)
{
    size_t C = p->H * p->D, part = row * C + head * p->D, at = (row * p->H + head) * C;
    spread(p->keys + at, map_of(p, head, false), (const act *)p->q + part, p->D, C);
    if (p->dy)
        spread(p->outputs + at, map_of(p, head, true), (const act *)p->dy + part, p->D, C);
}

/* Of tokens t and u with up to HEADS vectors from `head` on; vectors (H,C), to (H,T). */
INLINE void multiply_tokens(float *to, const float *vectors, const struct projected_attention *p, size_t head, size_t t, size_t u)
{
    size_t C = p->H * p->D, count = p->H - head < HEADS ? p->H - head : HEADS;
    const act *a = (const act *)p->x + t * C, *b = (const act *)p->x + u * C;
    const float *of[HEADS];
    vector of_a[HEADS], of_b[HEADS];
    for (size_t i = 0; i < HEADS; i++) {
        of[i] = vectors + (head + (i < count ? i : 0)) * C;
        of_a[i] = of_b[i] = splat(0);
    }
    for (size_t c = 0; c < C; c += LANES) {
        vector x = act_load_most(a + c, C - c), y = act_load_most(b + c, C - c);
#pragma GCC unroll 4
        for (size_t i = 0; i < HEADS; i++) {
            vector v = load_most(of[i] + c, C - c);
            of_a[i] = multiply_add(x, v, of_a[i]);
            of_b[i] = multiply_add(y, v, of_b[i]);
        }
    }
    for (size_t i = 0; i < count; i++) {
        to[(head + i) * p->T + t] = sum_lanes(of_a[i]);
        to[(head + i) * p->T + u] = sum_lanes(of_b[i]);
    }
}

void KERNEL(projected_score)(const struct projected_attention *p, size_t row, size_t from, size_t to)
{
    size_t at = row * p->H * p->H * p->D;
    for (size_t t = from; t < to; t += 2)
        for (size_t head = 0; head < p->H; head += HEADS) {
            size_t u = t + 1 < to ? t + 1 : t;
            multiply_tokens(p->scores, p->keys + at, p, head, t, u);
            if (p->dy)
                multiply_tokens(p->slopes, p->outputs + at, p, head, t, u);
        }
}

/* w = s where dropout keeps it, times what it is kept with; else 0. */
static void drop(float *w, const float *s, const struct projected_attention *p, size_t row, size_t head, size_t n)
{
    uint8_t bits[DRAWN / 8 + MASK_SLACK];
    for (size_t from = 0; from < n; from += DRAWN) {
        size_t count = n - from < DRAWN ? n - from : DRAWN;
        mask_bits(bits, p->mask, row, (uint32_t)(head << 16 | from / 8), (count + 7) / 8);
        for (size_t j = 0; j < count; j += LANES)
            store_most(w + from + j, mask_keep(bits, j, load_most(s + from + j, count - j)) * splat(p->mask->scale), count - j);
    }
}

static float sum_of(const float *x, size_t n)
{
    vector sum = splat(0);
    for (size_t j = 0; j < n; j += LANES)
        sum += load_most(x + j, n - j);
    return sum_lanes(sum);
}

/* s = exp(scale s - log_sum). */
static void weigh(float *s, float scale, float log_sum, size_t n)
{
    for (size_t j = 0; j < n; j += LANES)
        store_most(s + j, exp2_of(multiply_add(load_most(s + j, n - j), splat(scale * LOG2E), splat(-log_sum * LOG2E))), n - j);
}

static float score_scale(const struct projected_attention *p)
{
    return 1 / sqrtf((float)p->D);
}

/* Scores become weights. */
void KERNEL(projected_soften)(const struct projected_attention *p, size_t row, size_t head)
{
    size_t first = (size_t)p->offsets[row], n = (size_t)p->offsets[row + 1] - first;
    float *s = p->scores + head * p->T + first, top = s[0], scale = score_scale(p);
    for (size_t j = 1; j < n; j++)
        top = s[j] <= top ? top : s[j]; /* a NaN goes on */
    weigh(s, scale, top * scale, n);
    float sum = sum_of(s, n);
    for (size_t j = 0; j < n; j += LANES)
        store_most(s + j, load_most(s + j, n - j) * splat(1 / sum), n - j);
    p->log_sum[head * p->B + row] = top * scale + logf(sum);
    if (p->mask)
        drop(s, s, p, row, head, n);
    p->kept[row * p->H + head] = sum_of(s, n);
}

/* Scores become weights, and what values meet the slopes of scores. */
void KERNEL(projected_slope)(const struct projected_attention *p, size_t row, size_t head)
{
    size_t first = (size_t)p->offsets[row], n = (size_t)p->offsets[row + 1] - first, C = p->H * p->D, part = head * p->D;
    float *w = p->scores + head * p->T + first, *s = p->slopes + head * p->T + first, scale = score_scale(p);
    float of_bias = p->bias ? product((const act *)p->dy + row * C + part, p->bias + C + part, p->D) : 0;
    weigh(w, scale, p->log_sum[head * p->B + row], n);
    for (size_t j = 0; j < n; j += LANES)
        store_most(s + j, load_most(s + j, n - j) + splat(of_bias), n - j);
    if (p->mask)
        drop(s, s, p, row, head, n);
    vector delta = splat(0);
    for (size_t j = 0; j < n; j += LANES)
        delta = multiply_add(load_most(w + j, n - j), load_most(s + j, n - j), delta);
    float mean = sum_lanes(delta);
    for (size_t j = 0; j < n; j += LANES)
        store_most(s + j, load_most(w + j, n - j) * (load_most(s + j, n - j) - splat(mean)) * splat(scale), n - j);
    if (p->mask)
        drop(w, w, p, row, head, n);
    p->kept[row * p->H + head] = sum_of(w, n);
}

/* Channels from..to-1 of to (C) += sum of w x over n tokens. */
static void gather(float *to, const float *w, const act *x, size_t n, size_t C, size_t from, size_t end)
{
    for (size_t c = from; c < end; c += 2 * LANES) {
        size_t left = end - c, more = left > LANES ? left - LANES : 0;
        vector a = load_most(to + c, left), b = more ? load_most(to + c + LANES, more) : splat(0);
        for (size_t j = 0; j < n; j++) {
            a = multiply_add(act_load_most(x + j * C + c, left), splat(w[j]), a);
            if (more)
                b = multiply_add(act_load_most(x + j * C + c + LANES, more), splat(w[j]), b);
        }
        store_most(to + c, a, left);
        if (more)
            store_most(to + c + LANES, b, more);
    }
}

void KERNEL(projected_gather)(const struct projected_attention *p, size_t row, size_t from, size_t to)
{
    size_t C = p->H * p->D, end = (size_t)p->offsets[row + 1];
    for (size_t head = 0; head < p->H; head++) {
        size_t at = (row * p->H + head) * C;
        memset(p->values + at + from, 0, (to - from) * sizeof(float));
        if (p->dy)
            memset(p->turns + at + from, 0, (to - from) * sizeof(float));
    }
    for (size_t t = (size_t)p->offsets[row]; t < end; t += TOKENS)
        for (size_t head = 0; head < p->H; head++) {
            size_t n = end - t < TOKENS ? end - t : TOKENS, at = (row * p->H + head) * C;
            const act *x = (const act *)p->x + t * C;
            gather(p->values + at, p->scores + head * p->T + t, x, n, C, from, to);
            if (p->dy)
                gather(p->turns + at, p->slopes + head * p->T + t, x, n, C, from, to);
        }
}

void KERNEL(projected_output)(const struct projected_attention *p, size_t row, size_t head)
{
    size_t C = p->H * p->D, i = row * p->H + head;
    const act *w = map_of(p, head, true);
    for (size_t d = 0; d < p->D; d++) {
        float sum = product(w + d * C, p->values + i * C, C);
        if (p->bias)
            sum += p->kept[i] * p->bias[C + head * p->D + d];
        act_store_part((act *)p->y + i * p->D + d, splat(sum), 1);
    }
}

/* A number of the keys' bias is added to all scores of a row: it has no gradient. */
static void bias_gradient(const struct projected_attention *p, size_t head)
{
    size_t C = p->H * p->D, part = head * p->D;
    memset(p->dbias + part, 0, p->D * sizeof(float));
    memset(p->dbias + C + part, 0, p->D * sizeof(float));
    for (size_t row = 0; row < p->B; row++)
        add_scaled(p->dbias + C + part, (const act *)p->dy + row * C + part, p->kept[row * p->H + head], p->D);
}

/* Row `d` of a head's part of a map's gradient: the sum over rows of v[d] sums. */
static void weight_gradient(float *dw, const act *v, const float *sums, const struct projected_attention *p)
{
    size_t C = p->H * p->D;
    memset(dw, 0, C * sizeof *dw);
    for (size_t row = 0; row < p->B; row++)
        add_scaled_floats(dw, sums + row * p->H * C, value_of(v + row * C), C);
}

void KERNEL(projected_gradient)(const struct projected_attention *p, size_t head)
{
    size_t C = p->H * p->D, part = head * p->D;
    const act *w = map_of(p, head, false);
    for (size_t row = 0; row < p->B; row++)
        for (size_t d = 0; d < p->D; d++)
            act_store_part((act *)p->dq + row * C + part + d, splat(product(w + d * C, p->turns + (row * p->H + head) * C, C)),
                           1);
    for (size_t d = 0; d < p->D && p->dw; d++) {
        weight_gradient(p->dw + (part + d) * C, (const act *)p->q + part + d, p->turns + head * C, p);
        weight_gradient(p->dw + (C + part + d) * C, (const act *)p->dy + part + d, p->values + head * C, p);
    }
    if (p->dbias)
        bias_gradient(p, head);
}

void KERNEL(projected_input)(const struct projected_attention *p, size_t row, size_t from, size_t to)
{
    size_t C = p->H * p->D, at = row * p->H * C;
    for (size_t t = from; t < to; t++)
        for (size_t c = 0; c < C; c += LANES) {
            act *dx = (act *)p->dx + t * C + c;
            vector sum = act_load_most(dx, C - c);
            for (size_t head = 0; head < p->H; head++) {
                const float *key = p->keys + at + head * C + c, *output = p->outputs + at + head * C + c;
                sum = multiply_add(load_most(key, C - c), splat(p->slopes[head * p->T + t]), sum);
                sum = multiply_add(load_most(output, C - c), splat(p->scores[head * p->T + t]), sum);
            }
            act_store_most(dx, sum, C - c);
        }
}
