/* SPDX-License-Identifier: Apache-2.0 */
/* The operations of attention: which kernels do them, on what. */
#include "worker/device/cuda/cuda_operations.h"

#include "worker/device/cuda/attention.cuh"
#include "worker/device/flops.h"

#include <math.h>

static const device_memory nothing = {0};

static struct attention shape_of(device_memory offsets, const struct dropout *dropout, size_t B, size_t T, size_t N, size_t H,
                                 size_t D)
{
    struct attention a = {};
    a.offsets = cuda_at<const int>(offsets);
    a.dropout = cuda_dropout(dropout);
    a.B = (int)B;
    a.T = (int)T;
    a.N = (int)N;
    a.H = (int)H;
    a.D = (int)D;
    a.scale = 1 / sqrtf((float)D);
    return a;
}

static void take_qkv(const struct cuda *c, struct attention *a, device_memory qkv, device_memory dqkv)
{
    size_t C = (size_t)a->H * a->D;
    a->q = cuda_behind(c, qkv, 0);
    a->k = cuda_behind(c, qkv, C);
    a->v = cuda_behind(c, qkv, 2 * C);
    a->dq = cuda_behind(c, dqkv, 0);
    a->dk = cuda_behind(c, dqkv, C);
    a->dv = cuda_behind(c, dqkv, 2 * C);
    a->q_stride = a->kv_stride = 3 * C;
}

static void take_first(const struct cuda *c, struct attention *a, device_memory q, device_memory kv, device_memory dq,
                       device_memory dkv)
{
    size_t C = (size_t)a->H * a->D;
    a->first_only = true;
    a->q = cuda_behind(c, q, 0);
    a->k = cuda_behind(c, kv, 0);
    a->v = cuda_behind(c, kv, C);
    a->dq = cuda_behind(c, dq, 0);
    a->dk = cuda_behind(c, dkv, 0);
    a->dv = cuda_behind(c, dkv, C);
    a->q_stride = C;
    a->kv_stride = 2 * C;
}

static void take_bias(struct attention *a, const struct relative_bias *b, device_memory dkeys, device_memory dqueries)
{
    a->bias_keys = cuda_at<void>(b->keys);
    a->bias_queries = cuda_at<void>(b->queries);
    a->dbias_keys = cuda_at<void>(dkeys);
    a->dbias_queries = cuda_at<void>(dqueries);
    a->bias_stride = b->stride;
    a->places = cuda_at<const int>(b->places);
    a->reach = (int)b->reach;
    a->S = (int)b->S;
    a->scale = 1 / sqrtf((float)a->D * (1 + (b->keys.address != 0) + (b->queries.address != 0)));
}

/* False: it is said to the device, which may have failed before. */
static bool can_run(struct cuda *c, const struct attention *a)
{
    if (a->D > 256)
        cuda_fail(c, "cuda: attention: heads of %d, of at most 256", a->D);
    return !c->failed;
}

static void forward(struct cuda *c, struct attention *a, device_memory y, device_memory log_sum)
{
    if (!can_run(c, a))
        return;
    a->out = cuda_at<void>(y);
    a->log_sum = cuda_at<float>(log_sum);
    if (attention_has_tiles(a, cuda_half(c)))
        attention_forward_tiles(a, c->stream);
    else
        attention_forward_plain(a, cuda_half(c), c->stream);
}

static void backward(struct cuda *c, struct attention *a, device_memory dy, device_memory y, device_memory log_sum)
{
    bool tiles = attention_has_tiles(a, cuda_half(c));
    size_t deltas = (size_t)a->H * a->N, sums = tiles ? (size_t)a->T * a->H * a->D : 0;
    float *scratch = can_run(c, a) ? (float *)cuda_scratch(c, (deltas + sums) * sizeof *scratch) : NULL;
    if (!scratch)
        return; /* the device has said so */
    a->dy = cuda_at<void>(dy);
    a->y = cuda_at<void>(y);
    a->log_sum = cuda_at<float>(log_sum);
    a->delta = scratch;
    attention_make_delta(a, cuda_half(c), c->stream);
    if (!tiles) {
        attention_backward_plain(a, cuda_half(c), c->stream);
        return;
    }
    cuda_zero(c, scratch + deltas, sums * sizeof *scratch);
    attention_backward_tiles(a, scratch + deltas, c->stream);
}

static void window_attention_forward(struct device *d, device_memory y, device_memory log_sum, device_memory qkv,
                                     device_memory offsets, const struct attention_window *window, const struct dropout *dropout,
                                     size_t B, size_t T, size_t H, size_t D)
{
    struct cuda *c = cuda_of(d);
    struct attention a = shape_of(offsets, dropout, B, T, T, H, D);
    take_qkv(c, &a, qkv, nothing);
    a.half = (int)window->half;
    a.sees_first = window->first != 0;
    forward(c, &a, y, log_sum);
}

static void window_attention_backward(struct device *d, device_memory dqkv, device_memory dy, device_memory y, device_memory qkv,
                                      device_memory log_sum, device_memory offsets, const struct attention_window *window,
                                      const struct dropout *dropout, size_t B, size_t T, size_t H, size_t D)
{
    struct cuda *c = cuda_of(d);
    struct attention a = shape_of(offsets, dropout, B, T, T, H, D);
    take_qkv(c, &a, qkv, dqkv);
    a.half = (int)window->half;
    a.sees_first = window->first != 0;
    backward(c, &a, dy, y, log_sum);
}

static const struct attention_window no_window = {0, 0};

static void attention_forward(struct device *d, device_memory y, device_memory log_sum, device_memory qkv, device_memory offsets,
                              const struct dropout *dropout, size_t B, size_t T, size_t H, size_t D)
{
    window_attention_forward(d, y, log_sum, qkv, offsets, &no_window, dropout, B, T, H, D);
}

static void attention_backward(struct device *d, device_memory dqkv, device_memory dy, device_memory y, device_memory qkv,
                               device_memory log_sum, device_memory offsets, const struct dropout *dropout, size_t B, size_t T,
                               size_t H, size_t D)
{
    window_attention_backward(d, dqkv, dy, y, qkv, log_sum, offsets, &no_window, dropout, B, T, H, D);
}

static void first_attention_forward(struct device *d, device_memory y, device_memory log_sum, device_memory q, device_memory kv,
                                    device_memory offsets, const struct dropout *dropout, size_t B, size_t T, size_t H, size_t D)
{
    struct cuda *c = cuda_of(d);
    struct attention a = shape_of(offsets, dropout, B, T, B, H, D);
    take_first(c, &a, q, kv, nothing, nothing);
    forward(c, &a, y, log_sum);
}

static void first_attention_backward(struct device *d, device_memory dq, device_memory dkv, device_memory dy, device_memory y,
                                     device_memory q, device_memory kv, device_memory log_sum, device_memory offsets,
                                     const struct dropout *dropout, size_t B, size_t T, size_t H, size_t D)
{
    struct cuda *c = cuda_of(d);
    struct attention a = shape_of(offsets, dropout, B, T, B, H, D);
    take_first(c, &a, q, kv, dq, dkv);
    backward(c, &a, dy, y, log_sum);
}

/* Keys and values x w^T + bias, made in scratch, `more` elements of act behind them; nothing: there is no memory, which sticks.
 * That they are made is this device's affair: work is what is counted where they are not. */
static device_memory make_pairs(struct device *d, device_memory x, device_memory w, device_memory bias, size_t T, size_t C,
                                size_t more)
{
    device_memory kv = {(uintptr_t)cuda_pairs(cuda_of(d), (T * 2 * C + more) * precision_bytes(d->precision))};
    double flops = d->flops;
    if (kv.address)
        d->run->linear_forward(d, kv, nothing, x, w, bias, ACTIVATION_NONE, T, C, 2 * C);
    d->flops = flops;
    return kv;
}

static void projected_attention_forward(struct device *d, device_memory y, device_memory log_sum, device_memory q,
                                        device_memory x, device_memory w, device_memory bias, device_memory offsets,
                                        const struct dropout *dropout, size_t B, size_t T, size_t H, size_t D)
{
    device_memory kv = make_pairs(d, x, w, bias, T, H * D, 0);
    if (kv.address)
        first_attention_forward(d, y, log_sum, q, kv, offsets, dropout, B, T, H, D);
    d->flops += projected_attention_flops(B, T, H, D, 2);
}

static void projected_attention_backward(struct device *d, device_memory dq, device_memory dx, device_memory dw,
                                         device_memory dbias, device_memory dy, device_memory y, device_memory q, device_memory x,
                                         device_memory w, device_memory bias, device_memory log_sum, device_memory offsets,
                                         const struct dropout *dropout, size_t B, size_t T, size_t H, size_t D)
{
    size_t C = H * D;
    device_memory kv = make_pairs(d, x, w, bias, T, C, T * 2 * C);
    if (!kv.address)
        return;
    device_memory dkv = device_at(kv, T * 2 * C * precision_bytes(d->precision));
    first_attention_backward(d, dq, dkv, dy, y, q, kv, log_sum, offsets, dropout, B, T, H, D);
    double flops = d->flops;
    d->run->linear_backward(d, dx, dw, dbias, dkv, x, w, 1, T, C, 2 * C);
    d->flops = flops + projected_attention_flops(B, T, H, D, 5);
}

static void relative_attention_forward(struct device *d, device_memory y, device_memory log_sum, device_memory qkv,
                                       device_memory offsets, const struct relative_bias *bias, const struct dropout *dropout,
                                       size_t B, size_t T, size_t H, size_t D)
{
    struct cuda *c = cuda_of(d);
    struct attention a = shape_of(offsets, dropout, B, T, T, H, D);
    take_qkv(c, &a, qkv, nothing);
    take_bias(&a, bias, nothing, nothing);
    forward(c, &a, y, log_sum);
}

static void relative_attention_backward(struct device *d, device_memory dqkv, device_memory dkeys, device_memory dqueries,
                                        device_memory dy, device_memory y, device_memory qkv, device_memory log_sum,
                                        device_memory offsets, const struct relative_bias *bias, const struct dropout *dropout,
                                        size_t B, size_t T, size_t H, size_t D)
{
    struct cuda *c = cuda_of(d);
    struct attention a = shape_of(offsets, dropout, B, T, T, H, D);
    take_qkv(c, &a, qkv, dqkv);
    take_bias(&a, bias, dkeys, dqueries);
    backward(c, &a, dy, y, log_sum);
}

static void first_relative_attention_forward(struct device *d, device_memory y, device_memory log_sum, device_memory q,
                                             device_memory kv, device_memory offsets, const struct relative_bias *bias,
                                             const struct dropout *dropout, size_t B, size_t T, size_t H, size_t D)
{
    struct cuda *c = cuda_of(d);
    struct attention a = shape_of(offsets, dropout, B, T, B, H, D);
    take_first(c, &a, q, kv, nothing, nothing);
    take_bias(&a, bias, nothing, nothing);
    forward(c, &a, y, log_sum);
}

static void first_relative_attention_backward(struct device *d, device_memory dq, device_memory dkv, device_memory dkeys,
                                              device_memory dqueries, device_memory dy, device_memory y, device_memory q,
                                              device_memory kv, device_memory log_sum, device_memory offsets,
                                              const struct relative_bias *bias, const struct dropout *dropout, size_t B, size_t T,
                                              size_t H, size_t D)
{
    struct cuda *c = cuda_of(d);
    struct attention a = shape_of(offsets, dropout, B, T, B, H, D);
    take_first(c, &a, q, kv, dq, dkv);
    take_bias(&a, bias, dkeys, dqueries);
    backward(c, &a, dy, y, log_sum);
}

void cuda_attention_operations(struct device_operations *to)
{
    to->attention_forward = attention_forward;
    to->attention_backward = attention_backward;
    to->first_attention_forward = first_attention_forward;
    to->first_attention_backward = first_attention_backward;
    to->projected_attention_forward = projected_attention_forward;
    to->projected_attention_backward = projected_attention_backward;
    to->window_attention_forward = window_attention_forward;
    to->window_attention_backward = window_attention_backward;
    to->relative_attention_forward = relative_attention_forward;
    to->relative_attention_backward = relative_attention_backward;
    to->first_relative_attention_forward = first_relative_attention_forward;
    to->first_relative_attention_backward = first_relative_attention_backward;
}
