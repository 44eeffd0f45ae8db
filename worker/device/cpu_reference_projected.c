/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the reference device's attention of first tokens to x w^T + bias: keys and values are made, in double. */
#include "common/base/memory.h"
#include "worker/device/cpu_reference.h"
#include "worker/device/host.h"

#include <math.h>
#include <stdlib.h>

struct pairs {
    const struct device *d;
    device_memory x, w, bias;
    const struct dropout *dropout;
    const int32_t *offsets;
    size_t B, T, H, D, C;
    double *kv, *weights, *kept; /* (T,2C); (H,T): softmax; and what of it dropout leaves */
};

static size_t row_of(const struct pairs *p, size_t t)
{
    size_t row = 0;
    while (t >= (size_t)p->offsets[row + 1])
        row++;
    return row;
}

static double key_or_value(const struct pairs *p, size_t t, size_t o)
{
    double sum = p->bias.address ? host_f32(p->bias)[o] : 0;
    for (size_t c = 0; c < p->C; c++)
        sum += (double)act_get(p->d, p->x, t * p->C + c) * act_get(p->d, p->w, o * p->C + c);
    return sum;
}

static double score(const struct pairs *p, device_memory q, size_t t, size_t head)
{
    double sum = 0;
    for (size_t i = head * p->D; i < (head + 1) * p->D; i++)
        sum += act_get(p->d, q, row_of(p, t) * p->C + i) * p->kv[t * 2 * p->C + i];
    return sum / sqrt((double)p->D);
}

/* Of one head of one row. */
static void weigh(struct pairs *p, device_memory q, size_t row, size_t head)
{
    size_t first = (size_t)p->offsets[row], end = (size_t)p->offsets[row + 1];
    double *s = p->weights + head * p->T, most = -INFINITY, sum = 0;
    for (size_t t = first; t < end; t++)
        most = fmax(most, s[t] = score(p, q, t, head));
    for (size_t t = first; t < end; t++)
        sum += s[t] = exp(s[t] - most);
    for (size_t t = first; t < end; t++) {
        s[t] /= sum;
        p->kept[head * p->T + t] = s[t] * (double)dropout_factor(p->dropout, row, (uint32_t)(head << 19 | (t - first)));
    }
}

static void pairs_open(struct pairs *p, device_memory q)
{
    p->C = p->H * p->D;
    p->kv = allocate(p->T * 2 * p->C, sizeof *p->kv);
    p->weights = allocate(2 * p->H * p->T, sizeof *p->weights);
    p->kept = p->weights + p->H * p->T;
    for (size_t i = 0; i < p->T * 2 * p->C; i++)
        p->kv[i] = key_or_value(p, i / (2 * p->C), i % (2 * p->C));
    for (size_t i = 0; i < p->B * p->H; i++)
        weigh(p, q, i / p->H, i % p->H);
}

static void pairs_close(struct pairs *p)
{
    free(p->kv);
    free(p->weights);
}

void reference_projected_attention_forward(struct device *d, device_memory y, device_memory log_sum, device_memory q,
                                           device_memory x, device_memory w, device_memory bias, device_memory offsets,
                                           const struct dropout *dropout, size_t B, size_t T, size_t H, size_t D)
{
    (void)log_sum; /* backward makes its weights again */
    struct pairs p = {
        .d = d, .x = x, .w = w, .bias = bias, .dropout = dropout, .offsets = host_i32(offsets), .B = B, .T = T, .H = H, .D = D};
    d->flops += projected_attention_flops(B, T, H, D, 2);
    pairs_open(&p, q);
    for (size_t i = 0; i < B * p.C; i++) {
        double sum = 0;
        for (size_t t = (size_t)p.offsets[i / p.C]; t < (size_t)p.offsets[i / p.C + 1]; t++)
            sum += p.kept[i % p.C / D * T + t] * p.kv[t * 2 * p.C + p.C + i % p.C];
        act_put(d, y, i, (float)sum);
    }
    pairs_close(&p);
}

/* of_pairs (T,2C) and of_queries (B,C) +=: of one head of one row. */
static void pairs_backward(const struct pairs *p, double *of_pairs, double *of_queries, device_memory dy, device_memory q,
                           size_t row, size_t head)
{
    size_t first = (size_t)p->offsets[row], end = (size_t)p->offsets[row + 1], C = p->C, from = head * p->D;
    const double *weights = p->weights + head * p->T, *kept = p->kept + head * p->T;
    double mean = 0, *slopes = allocate(end - first, sizeof *slopes);
    for (size_t t = first; t < end; t++) {
        double factor = dropout_factor(p->dropout, row, (uint32_t)(head << 19 | (t - first)));
        for (size_t i = from; i < from + p->D; i++)
            slopes[t - first] += factor * act_get(p->d, dy, row * C + i) * p->kv[t * 2 * C + C + i];
        mean += weights[t] * slopes[t - first];
    }
    for (size_t t = first; t < end; t++) {
        double slope = weights[t] * (slopes[t - first] - mean) / sqrt((double)p->D);
        for (size_t i = from; i < from + p->D; i++) {
            of_queries[row * C + i] += slope * p->kv[t * 2 * C + i];
            of_pairs[t * 2 * C + i] = slope * act_get(p->d, q, row * C + i);
            of_pairs[t * 2 * C + C + i] = kept[t] * act_get(p->d, dy, row * C + i);
        }
    }
    free(slopes);
}

static void input_gradient(const struct pairs *p, device_memory dx, const double *of_pairs)
{
    for (size_t i = 0; i < p->T * p->C && dx.address; i++) {
        double sum = act_get(p->d, dx, i);
        for (size_t o = 0; o < 2 * p->C; o++)
            sum += of_pairs[i / p->C * 2 * p->C + o] * act_get(p->d, p->w, o * p->C + i % p->C);
        act_put(p->d, dx, i, (float)sum);
    }
}

static void map_gradient(const struct pairs *p, float *dw, float *dbias, const double *of_pairs)
{
    for (size_t i = 0; i < 2 * p->C * p->C && dw; i++) {
        double sum = 0;
        for (size_t t = 0; t < p->T; t++)
            sum += of_pairs[t * 2 * p->C + i / p->C] * act_get(p->d, p->x, t * p->C + i % p->C);
        dw[i] = (float)sum;
    }
    for (size_t o = 0; o < 2 * p->C && dbias; o++) {
        double sum = 0;
        for (size_t t = 0; t < p->T; t++)
            sum += of_pairs[t * 2 * p->C + o];
        dbias[o] = (float)sum;
    }
}

void reference_projected_attention_backward(struct device *d, device_memory dq, device_memory dx, device_memory dw,
                                            device_memory dbias, device_memory dy, device_memory y, device_memory q,
                                            device_memory x, device_memory w, device_memory bias, device_memory log_sum,
                                            device_memory offsets, const struct dropout *dropout, size_t B, size_t T, size_t H,
                                            size_t D)
{
    (void)y;
    (void)log_sum;
    struct pairs p = {
        .d = d, .x = x, .w = w, .bias = bias, .dropout = dropout, .offsets = host_i32(offsets), .B = B, .T = T, .H = H, .D = D};
    d->flops += projected_attention_flops(B, T, H, D, 5);
    pairs_open(&p, q);
    double *of_pairs = allocate((2 * T + B) * p.C, sizeof *of_pairs), *of_queries = of_pairs + T * 2 * p.C;
    for (size_t i = 0; i < B * H; i++)
        pairs_backward(&p, of_pairs, of_queries, dy, q, i / H, i % H);
    for (size_t i = 0; i < B * p.C; i++)
        act_put(d, dq, i, (float)of_queries[i]);
    map_gradient(&p, host_f32(dw), host_f32(dbias), of_pairs);
    input_gradient(&p, dx, of_pairs);
    free(of_pairs);
    pairs_close(&p);
}
