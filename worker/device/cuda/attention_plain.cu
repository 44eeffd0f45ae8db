/* SPDX-License-Identifier: Apache-2.0 */
/* Attention of any head size up to 256, window, bias by distance, of all queries or of the first of each row alone: a warp a
 * query, a key or a place of the bias, of one head. Nothing is added up by two warps, so every sum has one order. Scores are
 * computed again where they are needed; memory is linear in the tokens. attention_tiles.cu has the quick way for the common case.
 */
#include "worker/device/cuda/attention.cuh"

enum { LANES = 32, CHANNELS = 8 /* a lane's share of a vector of at most 256 */, WARPS = 4 };

/* What a warp works on: a head of a row. Positions are of the row. */
template <typename A>
struct head_of_row {
    const struct attention &a;
    int head, row, first, n; /* first: token; n: tokens */

    DEVICE int number(int position) const
    {
        return a.first_only ? row : first + position;
    }
    DEVICE const A *q(int position) const
    {
        return (const A *)a.q + (size_t)number(position) * a.q_stride + head * a.D;
    }
    DEVICE const A *k(int j) const
    {
        return (const A *)a.k + (size_t)(first + j) * a.kv_stride + head * a.D;
    }
    DEVICE const A *v(int j) const
    {
        return (const A *)a.v + (size_t)(first + j) * a.kv_stride + head * a.D;
    }
    DEVICE const A *dy(int position) const
    {
        return (const A *)a.dy + ((size_t)number(position) * a.H + head) * a.D;
    }
    DEVICE int place(int position, int j) const
    {
        return a.places[position - j + a.reach - 1];
    }
    DEVICE const A *bias(const void *of, int s) const
    {
        return (const A *)of + (size_t)s * a.bias_stride + head * a.D;
    }
    DEVICE float product(const A *x, const A *y) const
    {
        float sum = 0;
        for (int i = 0; i < a.D; i++)
            sum += act_load(x, i) * act_load(y, i);
        return sum;
    }
    DEVICE float score(int position, int j) const
    {
        float sum = product(q(position), k(j));
        if (a.bias_keys)
            sum += product(q(position), bias(a.bias_keys, place(position, j)));
        if (a.bias_queries)
            sum += product(k(j), bias(a.bias_queries, place(position, j)));
        return sum * a.scale;
    }
    DEVICE float factor(int position, int j) const
    {
        return dropout_factor(a.dropout, number(position), (uint32_t)head << 19 | (uint32_t)j);
    }
    /* A probability times dropout's factor, and the gradient of its score. */
    DEVICE void pair(int position, int j, float *kept, float *ds) const
    {
        size_t of = (size_t)head * a.N + number(position);
        float p = expf(score(position, j) - a.log_sum[of]), m = factor(position, j);
        *kept = p * m;
        *ds = p * (m * product(dy(position), v(j)) - a.delta[of]) * a.scale;
    }
    /* Keys that a query sees are from..to - 1, and the row's first before them if that is 1 and not 0. A window is symmetric. */
    DEVICE int seen(int i, bool of_first, int *from, int *to) const
    {
        bool all = a.first_only || !a.half || (of_first && i == 0);
        *from = all || i < a.half ? 0 : i - a.half;
        *to = all || n - i <= a.half ? n : i + a.half + 1;
        return !all && !of_first && a.sees_first && *from > 0;
    }
};

/* The warp's number, and lane's. */
DEVICE int warp_number(void)
{
    return blockIdx.x * WARPS + threadIdx.x / LANES;
}

/* sums += weight of lane s times the vector of lane s, for s = 0..31 in this order; `vector` gives lane s's, called by all with s
 * < count. */
template <typename A, typename V>
DEVICE void add_weighted(float sums[CHANNELS], float weight, int count, int D, V vector)
{
    int lane = threadIdx.x % LANES;
    for (int s = 0; s < count; s++) {
        float w = shuffle(weight, s);
        const A *x = vector(s);
        for (int c = 0; c < CHANNELS; c++)
            if (lane + c * LANES < D)
                sums[c] += w * act_load(x, lane + c * LANES);
    }
}

template <typename A>
DEVICE void store_channels(A *to, const float sums[CHANNELS], int D, float scale)
{
    int lane = threadIdx.x % LANES;
    for (int c = 0; c < CHANNELS; c++)
        if (lane + c * LANES < D)
            act_store(to, lane + c * LANES, sums[c] * scale);
}

/* Head of a row by the number of a token, or of a query. */
template <typename A>
DEVICE head_of_row<A> of_token(const struct attention &a, int token, int head)
{
    int row = attention_row(a, token);
    return {a, head, row, a.offsets[row], a.offsets[row + 1] - a.offsets[row]};
}

template <typename A>
DEVICE head_of_row<A> of_query(const struct attention &a, int query, int head)
{
    return of_token<A>(a, a.first_only ? a.offsets[query] : query, head);
}

/* What a warp that has a (query, head) works on: the keys that the query sees, key(0)..key(count - 1). */
template <typename A>
struct query_of_warp {
    head_of_row<A> h;
    int position, from, extra, count;

    DEVICE int key(int i) const
    {
        return extra && !i ? 0 : from + i - extra;
    }
};

template <typename A>
DEVICE query_of_warp<A> find_query(const struct attention &a, int query)
{
    const head_of_row<A> h = of_query<A>(a, query, warp_number() % a.H);
    int position = a.first_only ? 0 : query - h.first, from, to, extra = h.seen(position, false, &from, &to);
    return {h, position, from, extra, to - from + extra};
}

/* A warp a (query, head). */
template <typename A>
KERNEL void forward_plain(struct attention a)
{
    int query = warp_number() / a.H, lane = threadIdx.x % LANES;
    if (query >= a.N)
        return;
    const query_of_warp<A> w = find_query<A>(a, query);
    const head_of_row<A> &h = w.h;
    float max = -INFINITY, sum = 0, y[CHANNELS] = {0};
    for (int i = lane; i < w.count; i += LANES)
        max = fmaxf(max, h.score(w.position, w.key(i)));
    max = warp_max(max);
    for (int i = lane; i < w.count; i += LANES)
        sum += expf(h.score(w.position, w.key(i)) - max);
    float log_sum = max + logf(warp_sum(sum));
    for (int i = 0; i < w.count; i += LANES) {
        int j = w.key(i + lane);
        float p = i + lane < w.count ? expf(h.score(w.position, j) - log_sum) * h.factor(w.position, j) : 0;
        add_weighted<A>(y, p, w.count - i < LANES ? w.count - i : LANES, a.D, [&](int s) { return h.v(w.key(i + s)); });
    }
    store_channels((A *)a.out + ((size_t)query * a.H + h.head) * a.D, y, a.D, 1);
    if (!lane)
        a.log_sum[(size_t)h.head * a.N + query] = log_sum;
}

/* delta = dy . y, a warp a (query, head). */
template <typename A>
KERNEL void delta_plain(struct attention a)
{
    int query = warp_number() / a.H, head = warp_number() % a.H, lane = threadIdx.x % LANES;
    if (query >= a.N)
        return;
    size_t at = ((size_t)query * a.H + head) * a.D;
    float sum = 0;
    for (int i = lane; i < a.D; i += LANES)
        sum += act_load((const A *)a.dy, at + i) * act_load((const A *)a.y, at + i);
    sum = warp_sum(sum);
    if (!lane)
        a.delta[(size_t)head * a.N + query] = sum;
}

/* dq, a warp a (query, head). */
template <typename A>
KERNEL void queries_plain(struct attention a)
{
    int query = warp_number() / a.H, lane = threadIdx.x % LANES;
    if (query >= a.N)
        return;
    const query_of_warp<A> w = find_query<A>(a, query);
    const head_of_row<A> &h = w.h;
    float dq[CHANNELS] = {0};
    for (int i = 0; i < w.count; i += LANES) {
        float kept, ds = 0;
        int some = w.count - i < LANES ? w.count - i : LANES;
        if (lane < some)
            h.pair(w.position, w.key(i + lane), &kept, &ds);
        add_weighted<A>(dq, ds, some, a.D, [&](int s) { return h.k(w.key(i + s)); });
        if (a.bias_keys)
            add_weighted<A>(dq, ds, some, a.D, [&](int s) { return h.bias(a.bias_keys, h.place(w.position, w.key(i + s))); });
    }
    store_channels((A *)a.dq + (size_t)query * a.q_stride + h.head * a.D, dq, a.D, 1);
}

/* dk and dv, a warp a (token, head). */
template <typename A>
KERNEL void keys_plain(struct attention a)
{
    int token = warp_number() / a.H, lane = threadIdx.x % LANES;
    if (token >= a.T)
        return;
    const head_of_row<A> h = of_token<A>(a, token, warp_number() % a.H);
    int j = token - h.first, from, to;
    float dk[CHANNELS] = {0}, dv[CHANNELS] = {0};
    h.seen(j, a.sees_first, &from, &to);
    if (a.first_only)
        to = 1;
    for (int i = from; i < to; i += LANES) {
        float kept = 0, ds = 0;
        int some = to - i < LANES ? to - i : LANES;
        if (lane < some)
            h.pair(i + lane, j, &kept, &ds);
        add_weighted<A>(dv, kept, some, a.D, [&](int s) { return h.dy(i + s); });
        add_weighted<A>(dk, ds, some, a.D, [&](int s) { return h.q(i + s); });
        if (a.bias_queries)
            add_weighted<A>(dk, ds, some, a.D, [&](int s) { return h.bias(a.bias_queries, h.place(i + s, j)); });
    }
    store_channels((A *)a.dk + (size_t)token * a.kv_stride + h.head * a.D, dk, a.D, 1);
    store_channels((A *)a.dv + (size_t)token * a.kv_stride + h.head * a.D, dv, a.D, 1);
}

/* First distance, counted from -(reach - 1), whose place is not below s: places do not fall. */
DEVICE int first_distance(const struct attention &a, int s)
{
    int low = 0, high = 2 * a.reach - 1;
    while (low < high) {
        int middle = (low + high) / 2;
        if (a.places[middle] < s)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Gradients of the bias, a warp a (place, head): rows in order, of each its queries in order, of each the keys at these
 * distances. */
template <typename A>
KERNEL void bias_plain(struct attention a)
{
    int s = warp_number() / a.H, head = warp_number() % a.H, lane = threadIdx.x % LANES;
    if (s >= a.S)
        return;
    int nearest = first_distance(a, s) - (a.reach - 1),
        farthest = first_distance(a, s + 1) - (a.reach - 1) - 1; /* query less key */
    float keys[CHANNELS] = {0}, queries[CHANNELS] = {0};
    for (int row = 0; row < a.B && nearest <= farthest; row++) {
        const head_of_row<A> h = {a, head, row, a.offsets[row], a.offsets[row + 1] - a.offsets[row]};
        for (int position = 0; position < (a.first_only ? 1 : h.n); position++) {
            int from = position - farthest > 0 ? position - farthest : 0,
                to = position - nearest < h.n ? position - nearest + 1 : h.n;
            for (int j = from; j < to; j += LANES) {
                float kept, ds = 0;
                int some = to - j < LANES ? to - j : LANES;
                if (lane < some)
                    h.pair(position, j + lane, &kept, &ds);
                if (a.dbias_keys)
                    add_weighted<A>(keys, ds, some, a.D, [&](int) { return h.q(position); });
                if (a.dbias_queries)
                    add_weighted<A>(queries, ds, some, a.D, [&](int k) { return h.k(j + k); });
            }
        }
    }
    if (a.dbias_keys)
        store_channels((A *)a.dbias_keys + (size_t)s * a.bias_stride + head * a.D, keys, a.D, 1);
    if (a.dbias_queries)
        store_channels((A *)a.dbias_queries + (size_t)s * a.bias_stride + head * a.D, queries, a.D, 1);
}

/* Kernel of floats or of bf16, a warp for each of `count` things of each head. */
#define LAUNCH_WARPS(kernel, count)                                                                                              \
    do {                                                                                                                         \
        dim3 grid((unsigned)(((size_t)(count)*a->H + WARPS - 1) / WARPS)), threads(WARPS *LANES);                                \
        if (half)                                                                                                                \
            LAUNCH(kernel<bf16>, grid, threads, stream, *a);                                                                     \
        else                                                                                                                     \
            LAUNCH(kernel<float>, grid, threads, stream, *a);                                                                    \
    } while (0)

void attention_forward_plain(const struct attention *a, bool half, cudaStream_t stream)
{
    LAUNCH_WARPS(forward_plain, a->N);
}

void attention_make_delta(const struct attention *a, bool half, cudaStream_t stream)
{
    LAUNCH_WARPS(delta_plain, a->N);
}

void attention_backward_plain(const struct attention *a, bool half, cudaStream_t stream)
{
    LAUNCH_WARPS(queries_plain, a->N);
    LAUNCH_WARPS(keys_plain, a->T);
    if (a->dbias_keys || a->dbias_queries)
        LAUNCH_WARPS(bias_plain, a->S);
}
