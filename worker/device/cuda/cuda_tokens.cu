/* SPDX-License-Identifier: Apache-2.0 */
/* What moves and pools vectors of tokens: a thread eight neighbours of a vector. */
#include "worker/device/cuda/cuda_operations.h"

#include "worker/device/cuda/columns.cuh"

/* y[b] = x[offsets[b]]. */
template <typename A>
KERNEL void first_taken(A *y, const A *x, const int *offsets, size_t B, size_t C)
{
    struct octet at;
    float v[8];
    if (!find_octet(&at, B, C))
        return;
    load_octet(v, x + (size_t)offsets[at.vector] * C, at.c, C);
    store_octet(y + at.vector * C, at.c, C, v);
}

/* x[offsets[b]] = y[b], or 0. */
template <typename A>
KERNEL void first_put(A *x, const A *y, const int *offsets, size_t B, size_t C)
{
    struct octet at;
    float v[8] = {0};
    if (!find_octet(&at, B, C))
        return;
    if (y)
        load_octet(v, y + at.vector * C, at.c, C);
    store_octet(x + (size_t)offsets[at.vector] * C, at.c, C, v);
}

template <typename A>
KERNEL void mean_taken(A *y, struct columns_of<A> x, const int *offsets)
{
    size_t b = blockIdx.y, c = (size_t)blockIdx.x * COLUMNS_WIDTH + threadIdx.x;
    float sum[1];
    block_sums(sum, x, offsets[b], offsets[b + 1], x.C);
    if (c < x.C)
        act_store(y, b * x.C + c, sum[0] / (float)(offsets[b + 1] - offsets[b]));
}

/* A block a row: each of its tokens gets dy / n. */
template <typename A>
KERNEL void mean_put(A *dx, const A *dy, const int *offsets, size_t C)
{
    size_t b = blockIdx.x;
    float n = (float)(offsets[b + 1] - offsets[b]), v[8];
    for (size_t c = threadIdx.x % 32 * 8; c < C; c += 256) {
        load_octet(v, dy + b * C, c, C);
        UNROLL for (int i = 0; i < 8; i++) v[i] /= n;
        for (int t = offsets[b] + (int)(threadIdx.x / 32); t < offsets[b + 1]; t += 8)
            store_octet(dx + (size_t)t * C, c, C, v);
    }
}

template <typename A>
KERNEL void dropped(A *y, const A *x, struct dropout_mask m, bool add, size_t N, size_t C)
{
    struct octet at;
    float v[8], sum[8] = {0};
    if (!find_octet(&at, N, C))
        return;
    load_octet(v, x + at.vector * C, at.c, C);
    drop_octet(v, m, at.vector, at.c);
    if (add)
        load_octet(sum, y + at.vector * C, at.c, C);
    UNROLL for (int i = 0; i < 8; i++) sum[i] += v[i];
    store_octet(y + at.vector * C, at.c, C, sum);
}

template <typename A>
KERNEL void scaled(A *y, size_t y_stride, const A *x, size_t x_stride, float scale, bool add, size_t N, size_t O)
{
    struct octet at;
    float v[8], sum[8] = {0};
    if (!find_octet(&at, N, O))
        return;
    load_octet(v, x + at.vector * x_stride, at.c, O);
    if (add)
        load_octet(sum, y + at.vector * y_stride, at.c, O);
    UNROLL for (int i = 0; i < 8; i++) sum[i] += scale * v[i];
    store_octet(y + at.vector * y_stride, at.c, O, sum);
}

enum { MAX_PAIRS = 128 };

struct rotation {
    float frequency[MAX_PAIRS]; /* of each pair of a head */
    const int *positions;
    size_t heads, stride, count;
    int pairs;
    bool backward;
};

template <typename A>
KERNEL void rotated(A *x, struct rotation r)
{
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x, t = i / r.pairs / r.heads;
    if (i >= r.count)
        return;
    int pair = (int)(i % r.pairs);
    size_t at = t * r.stride + i / r.pairs % r.heads * 2 * r.pairs + pair, other = at + r.pairs;
    float angle = (float)r.positions[t] * r.frequency[pair], c = cosf(angle), s = r.backward ? -sinf(angle) : sinf(angle);
    float a = act_load(x, at), b = act_load(x, other);
    act_store(x, at, a * c - b * s);
    act_store(x, other, b * c + a * s);
}

template <typename A>
static void take_first(struct cuda *c, device_memory y, device_memory x, device_memory offsets, size_t B, size_t C)
{
    LAUNCH_THREADS(c, first_taken<A>, octets_of(B, C), cuda_at<A>(y), cuda_at<A>(x), cuda_at<int>(offsets), B, C);
}

template <typename A>
static void put_first(struct cuda *c, device_memory x, device_memory y, device_memory offsets, size_t B, size_t C)
{
    LAUNCH_THREADS(c, first_put<A>, octets_of(B, C), cuda_at<A>(x), cuda_at<A>(y), cuda_at<int>(offsets), B, C);
}

template <typename A>
static void take_mean(struct cuda *c, device_memory y, device_memory x, device_memory offsets, size_t B, size_t C)
{
    struct columns_of<A> of = {
        cuda_at<A>(x), C
    };
    dim3 grid((unsigned)((C + COLUMNS_WIDTH - 1) / COLUMNS_WIDTH), (unsigned)B);
    if (B && !c->failed)
        LAUNCH(mean_taken<A>, grid, dim3(32 * COLUMNS_WARPS), c->stream, cuda_at<A>(y), of, cuda_at<int>(offsets));
}

template <typename A>
static void put_mean(struct cuda *c, device_memory dx, device_memory dy, device_memory offsets, size_t B, size_t C)
{
    LAUNCH_BLOCKS(c, mean_put<A>, B, cuda_at<A>(dx), cuda_at<A>(dy), cuda_at<int>(offsets), C);
}

template <typename A>
static void drop(struct cuda *c, device_memory y, device_memory x, const struct dropout *dropout, bool add, size_t N, size_t C)
{
    LAUNCH_THREADS(c, dropped<A>, octets_of(N, C), cuda_at<A>(y), cuda_at<A>(x), cuda_dropout(dropout), add, N, C);
}

template <typename A>
static void scale_of(struct cuda *c, device_memory y, size_t y_stride, device_memory x, size_t x_stride, float scale, bool add,
                     size_t N, size_t O)
{
    LAUNCH_THREADS(c, scaled<A>, octets_of(N, O), cuda_at<A>(y), y_stride, cuda_at<A>(x), x_stride, scale, add, N, O);
}

template <typename A>
static void rotate_by(struct cuda *c, device_memory x, const struct rotation &r)
{
    LAUNCH_THREADS(c, rotated<A>, r.count, cuda_at<A>(x), r);
}

static void first_tokens(struct device *d, device_memory y, device_memory x, device_memory offsets, size_t B, size_t C)
{
    BY_ACT(cuda_of(d), take_first, cuda_of(d), y, x, offsets, B, C);
}

static void replace_first_tokens(struct device *d, device_memory x, device_memory y, device_memory offsets, size_t B, size_t C)
{
    BY_ACT(cuda_of(d), put_first, cuda_of(d), x, y, offsets, B, C);
}

static void first_tokens_backward(struct device *d, device_memory dx, device_memory dy, device_memory offsets, size_t B, size_t T,
                                  size_t C)
{
    cuda_zero(cuda_of(d), cuda_at<void>(dx), T * C * precision_bytes(d->precision));
    replace_first_tokens(d, dx, dy, offsets, B, C);
}

static void mean_tokens(struct device *d, device_memory y, device_memory x, device_memory offsets, size_t B, size_t C)
{
    BY_ACT(cuda_of(d), take_mean, cuda_of(d), y, x, offsets, B, C);
}

static void mean_tokens_backward(struct device *d, device_memory dx, device_memory dy, device_memory offsets, size_t B, size_t C)
{
    BY_ACT(cuda_of(d), put_mean, cuda_of(d), dx, dy, offsets, B, C);
}

static void dropout_apply(struct device *d, device_memory y, device_memory x, const struct dropout *dropout, int add, size_t N,
                          size_t C)
{
    BY_ACT(cuda_of(d), drop, cuda_of(d), y, x, dropout, add != 0, N, C);
}

static void scale_columns(struct device *d, device_memory y, size_t y_stride, device_memory x, size_t x_stride, float scale,
                          int add, size_t N, size_t O)
{
    BY_ACT(cuda_of(d), scale_of, cuda_of(d), y, y_stride, x, x_stride, scale, add != 0, N, O);
}

static void rotate(struct device *d, device_memory x, device_memory positions, float theta, int backward, size_t T, size_t heads,
                   size_t D, size_t stride)
{
    struct rotation r = {{0}, cuda_at<int>(positions), heads, stride, T * heads * (D / 2), (int)(D / 2), backward != 0};
    if (r.pairs > MAX_PAIRS)
        cuda_fail(cuda_of(d), "cuda: rotary positions: heads of %zu, of at most %d", D, 2 * MAX_PAIRS);
    for (int i = 0; i < r.pairs && i < MAX_PAIRS; i++)
        r.frequency[i] = 1 / powf(theta, (float)(2 * i) / (float)D);
    BY_ACT(cuda_of(d), rotate_by, cuda_of(d), x, r);
}

void cuda_token_operations(struct device_operations *to)
{
    to->first_tokens = first_tokens;
    to->first_tokens_backward = first_tokens_backward;
    to->replace_first_tokens = replace_first_tokens;
    to->mean_tokens = mean_tokens;
    to->mean_tokens_backward = mean_tokens_backward;
    to->dropout_apply = dropout_apply;
    to->scale_columns = scale_columns;
    to->rotate = rotate;
}
