/* SPDX-License-Identifier: Apache-2.0 */
/* Attention by tensor cores, for bf16 and heads of 32 or 64: tiles of 64 queries and 64 keys, the scores never leave the chip
 * (Dao, 2023, FlashAttention-2). Forward: a block of threads takes 64 queries of a head of a row; backward: a head of a row, keys
 * outside, queries inside, so that every sum has one owner and one order.
 *
 * Fragments of mma.m16n8k16, lane = 4 g + t: a thread holds of a 16 x 8 result the rows g and g + 8, columns 2t and 2t + 1. */
#include "worker/device/cuda/attention.cuh"

enum { TILE = 64, WARPS = 4, THREADS = 32 * WARPS, KEY_GROUPS = TILE / 8 };

/* Rows of a tile are 8 elements apart in banks: ldmatrix reads 8 of them without conflict. */
template <int D>
struct tile {
    enum { STRIDE = D + 8, ELEMENTS = TILE * STRIDE };
};

/* Rows from..from + 63 of a matrix into a tile; zeros behind `rows`. Returns before the copies are there: copy_commit, copy_wait.
 */
template <int D, typename S>
DEVICE void load_tile(S to, const bf16 *from, size_t stride, int rows)
{
    const int chunks = D / 8;
    for (int i = threadIdx.x; i < TILE * chunks; i += THREADS) {
        int row = i / chunks, column = i % chunks * 8;
        if (row < rows)
            copy_async_16(to + row * tile<D>::STRIDE + column, from + row * stride + column);
        else
            store_zero_16(to + row * tile<D>::STRIDE + column);
    }
}

/* 16 x 16 of a tile from (row, column), as the left operand. */
template <int D, typename S>
DEVICE void left_fragment(uint32_t a[4], S from, int row, int column)
{
    int lane = threadIdx.x % 32;
    load_matrix_x4(a, from + (row + lane % 16) * tile<D>::STRIDE + column + lane / 16 * 8);
}

/* The same of the transposed tile: element (m, k) of the operand is (column + k, row + m) of the tile. */
template <int D, typename S>
DEVICE void left_fragment_transposed(uint32_t a[4], S from, int row, int column)
{
    int lane = threadIdx.x % 32;
    load_matrix_x4_transposed(a, from + (column + lane % 8 + lane / 16 * 8) * tile<D>::STRIDE + row + lane / 8 % 2 * 8);
}

/* Right operand of two products, 16 deep, of the tile's rows n..n + 15: columns of the result. b[0..1] of the first 8, b[2..3] of
 * the others. */
template <int D, typename S>
DEVICE void right_fragment(uint32_t b[4], S from, int n, int k)
{
    int lane = threadIdx.x % 32;
    load_matrix_x4(b, from + (n + lane % 8 + lane / 16 * 8) * tile<D>::STRIDE + k + lane / 8 % 2 * 8);
}

/* The same where the tile's rows are k, and its columns n..n + 15 the columns of the result. */
template <int D, typename S>
DEVICE void right_fragment_transposed(uint32_t b[4], S from, int n, int k)
{
    int lane = threadIdx.x % 32;
    load_matrix_x4_transposed(b, from + (k + lane % 16) * tile<D>::STRIDE + n + lane / 16 * 8);
}

/* Which keys of a tile a query keeps: a byte a query and 8 keys. */
template <typename S>
DEVICE void fill_mask(S mask, const struct attention &a, int head, int first, int n, int query, int key)
{
    for (int i = threadIdx.x; i < TILE * KEY_GROUPS && a.dropout.bound; i += THREADS) {
        int position = query + i / KEY_GROUPS;
        uint32_t element = (uint32_t)head << 19 | (uint32_t)(key + i % KEY_GROUPS * 8);
        mask[i] = position < n ? dropout_byte(a.dropout, first + position, element) : 0;
    }
}

template <typename S>
DEVICE float mask_factor(S mask, const struct attention &a, int query, int key)
{
    if (!a.dropout.bound)
        return 1;
    return mask[query * KEY_GROUPS + key / 8] >> key % 8 & 1 ? a.dropout.scale : 0;
}

/* Tiles of keys that a tile of queries sees (and the other way round: the window is symmetric): from..to, and tile 0 before them
 * if `first` says so. */
struct tile_range {
    int from, to;
    bool first;
};

DEVICE struct tile_range tiles_seen(const struct attention &a, int start, int n, bool first)
{
    int end = start + TILE < n ? start + TILE : n;
    int low = a.half && start > a.half ? start - a.half : 0, high = a.half && end + a.half < n ? end + a.half : n;
    struct tile_range r = {low / TILE, (high + TILE - 1) / TILE, false};
    r.first = first && a.half && r.from > 0;
    return r;
}

template <int D>
struct accumulator {
    float at[D / 8][4];

    DEVICE void zero()
    {
        UNROLL for (int i = 0; i < D / 8; i++) UNROLL for (int e = 0; e < 4; e++) at[i][e] = 0;
    }
};

/* r (16 x 64) = rows own..own + 15 of a tile times all rows of another. */
template <int D, typename S>
DEVICE void times_rows(float r[8][4], S left, int own, S right)
{
    UNROLL for (int i = 0; i < 8; i++) UNROLL for (int e = 0; e < 4; e++) r[i][e] = 0;
    ROLLED for (int k = 0; k < D / 16; k++)
    {
        uint32_t rows[4], b[4];
        left_fragment<D>(rows, left, own, 16 * k);
        UNROLL for (int u = 0; u < 4; u++)
        {
            right_fragment<D>(b, right, 16 * u, 16 * k);
            mma_bf16_16x8x16(r[2 * u], rows, b);
            mma_bf16_16x8x16(r[2 * u + 1], rows, b + 2);
        }
    }
}

/* to (16 x D) += p (16 x 64, rounded to bf16) times a tile. */
template <int D, typename S>
DEVICE void add_product(accumulator<D> &to, const float p[8][4], S tile)
{
    UNROLL for (int u = 0; u < 4; u++)
    {
        const uint32_t left[4] = {pack_bf16(p[2 * u][0], p[2 * u][1]), pack_bf16(p[2 * u][2], p[2 * u][3]),
                                  pack_bf16(p[2 * u + 1][0], p[2 * u + 1][1]), pack_bf16(p[2 * u + 1][2], p[2 * u + 1][3])};
        UNROLL for (int v = 0; v < D / 16; v++)
        {
            uint32_t b[4];
            right_fragment_transposed<D>(b, tile, 16 * v, 16 * u);
            mma_bf16_16x8x16(to.at[2 * v], left, b);
            mma_bf16_16x8x16(to.at[2 * v + 1], left, b + 2);
        }
    }
}

/* Rows base + g and base + g + 8 of a matrix, where they are below `rows`. */
template <int D>
DEVICE void store(bf16 *to, size_t stride, const accumulator<D> &from, int base, int rows, float low, float high)
{
    int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    UNROLL for (int i = 0; i < D / 8; i++)
    {
        if (base + g < rows)
            store_pair(to + (size_t)(base + g) * stride + 8 * i + 2 * t, pack_bf16(from.at[i][0] * low, from.at[i][1] * low));
        if (base + g + 8 < rows)
            store_pair(to + (size_t)(base + g + 8) * stride + 8 * i + 2 * t,
                       pack_bf16(from.at[i][2] * high, from.at[i][3] * high));
    }
}

/* A thread's part of the softmax of rows g and g + 8, a tile of keys after the other; in powers of two. */
struct softmax {
    float max[2], sum[2];
};

/* Scores to probabilities, by the maximum so far; `scale` receives what earlier sums are to be multiplied by. */
DEVICE void softmax_step(struct softmax &s, float p[8][4], float scale[2])
{
    UNROLL for (int h = 0; h < 2; h++)
    {
        float max = s.max[h], sum = 0;
        UNROLL for (int i = 0; i < 8; i++) max = fmaxf(max, fmaxf(p[i][2 * h], p[i][2 * h + 1]));
        max = fmaxf(max, shuffle_xor(max, 1));
        max = fmaxf(max, shuffle_xor(max, 2));
        float by = max == -INFINITY ? 0 : max; /* nothing seen yet */
        UNROLL for (int i = 0; i < 8; i++) UNROLL for (int e = 2 * h; e < 2 * h + 2; e++)
        {
            p[i][e] = exp2f(p[i][e] - by);
            sum += p[i][e];
        }
        scale[h] = exp2f(s.max[h] - by);
        s.sum[h] = s.sum[h] * scale[h] + sum;
        s.max[h] = max;
    }
}

/* Row and tile of a block of threads: the tiles of all rows one after the other. False: there are no more. */
DEVICE bool find_tile(const struct attention &a, int block, int *row, int *start)
{
    for (int b = 0; b < a.B; b++) {
        int tiles = (a.offsets[b + 1] - a.offsets[b] + TILE - 1) / TILE;
        if (block < tiles) {
            *row = b;
            *start = block * TILE;
            return true;
        }
        block -= tiles;
    }
    return false;
}

/* Grid: (tiles of all rows or more, H). */
template <int D>
KERNEL void forward_tiles(struct attention a)
{
    SHARED(bf16, queries, tile<D>::ELEMENTS);
    SHARED(bf16, keys, tile<D>::ELEMENTS);
    SHARED(bf16, values, tile<D>::ELEMENTS);
    SHARED(uint8_t, mask, TILE * KEY_GROUPS);
    int row, start, head = blockIdx.y, lane = threadIdx.x % 32, own = threadIdx.x / 32 * 16, g = lane / 4, t = lane % 4;
    if (!find_tile(a, blockIdx.x, &row, &start))
        return;
    int first = a.offsets[row], n = a.offsets[row + 1] - first;
    const bf16 *q = (const bf16 *)a.q + (size_t)first * a.q_stride + head * D,
               *k = (const bf16 *)a.k + (size_t)first * a.kv_stride + head * D,
               *v = (const bf16 *)a.v + (size_t)first * a.kv_stride + head * D;
    float by = a.scale * 1.44269504f; /* log2 e */
    accumulator<D> y;
    struct softmax s = {{-INFINITY, -INFINITY}, {0, 0}};
    y.zero();
    load_tile<D>(queries, q + (size_t)start * a.q_stride, a.q_stride, n - start);
    copy_commit();

    struct tile_range range = tiles_seen(a, start, n, a.sees_first);
    for (int i = range.first ? range.from - 1 : range.from; i < range.to; i++) {
        int key = i < range.from ? 0 : i * TILE;
        float p[8][4], scale[2];
        barrier(); /* the tiles before are done with */
        load_tile<D>(keys, k + (size_t)key * a.kv_stride, a.kv_stride, n - key);
        copy_commit();
        load_tile<D>(values, v + (size_t)key * a.kv_stride, a.kv_stride, n - key);
        copy_commit();
        fill_mask(mask, a, head, first, n, start, key);
        copy_wait<1>();
        barrier();
        times_rows<D>(p, queries, own, keys);
        UNROLL for (int j = 0; j < 8; j++) UNROLL for (int e = 0; e < 4; e++)
        {
            int at = key + 8 * j + 2 * t + e % 2, position = start + own + g + e / 2 * 8;
            p[j][e] = at < n && attention_sees(a, position, at) ? p[j][e] * by : -INFINITY;
        }
        softmax_step(s, p, scale);
        UNROLL for (int j = 0; j < 8; j++) UNROLL for (int e = 0; e < 4; e++) p[j][e] *=
            mask_factor(mask, a, own + g + e / 2 * 8, 8 * j + 2 * t + e % 2);
        UNROLL for (int j = 0; j < D / 8; j++) UNROLL for (int e = 0; e < 4; e++) y.at[j][e] *= scale[e / 2];
        copy_wait<0>();
        barrier();
        add_product<D>(y, p, values);
    }
    UNROLL for (int h = 0; h < 2; h++)
    {
        s.sum[h] += shuffle_xor(s.sum[h], 1);
        s.sum[h] += shuffle_xor(s.sum[h], 2);
        int position = start + own + g + 8 * h;
        if (t == 0 && position < n)
            a.log_sum[(size_t)head * a.N + first + position] = s.max[h] * 0.693147181f + logf(s.sum[h]);
    }
    store<D>((bf16 *)a.out + (size_t)(first + start) * a.H * D + head * D, (size_t)a.H * D, y, own, n - start, 1 / s.sum[0],
             1 / s.sum[1]);
}

/* dq += ds (64 x 64, a tile of keys by queries) times the keys, of the warp's 16 queries; in f32, each element by one thread. */
template <int D, typename S>
DEVICE void add_to_queries(float *to, size_t stride, S ds, S keys, int own, int rows)
{
    int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    accumulator<D> dq;
    dq.zero();
    ROLLED for (int k = 0; k < TILE / 16; k++)
    {
        uint32_t left[4];
        left_fragment_transposed<TILE>(left, ds, own, 16 * k);
        UNROLL for (int v = 0; v < D / 16; v++)
        {
            uint32_t b[4];
            right_fragment_transposed<D>(b, keys, 16 * v, 16 * k);
            mma_bf16_16x8x16(dq.at[2 * v], left, b);
            mma_bf16_16x8x16(dq.at[2 * v + 1], left, b + 2);
        }
    }
    UNROLL for (int i = 0; i < D / 8; i++) UNROLL for (int e = 0; e < 4; e++)
    {
        int row = own + g + e / 2 * 8;
        if (row < rows)
            to[(size_t)row * stride + 8 * i + 2 * t + e % 2] += dq.at[i][e];
    }
}

/* Grid: (B, H). sums f32 (T,C): for dq, zeros. */
template <int D>
KERNEL void backward_tiles(struct attention a, float *sums)
{
    SHARED(bf16, keys, tile<D>::ELEMENTS);
    SHARED(bf16, values, tile<D>::ELEMENTS);
    SHARED(bf16, queries, tile<D>::ELEMENTS);
    SHARED(bf16, gradients, tile<D>::ELEMENTS);
    SHARED(bf16, scores, tile<TILE>::ELEMENTS);
    SHARED(uint8_t, mask, TILE * KEY_GROUPS);
    SHARED(float, log_sum, TILE);
    SHARED(float, delta, TILE);
    int row = blockIdx.x, head = blockIdx.y, lane = threadIdx.x % 32, own = threadIdx.x / 32 * 16, g = lane / 4, t = lane % 4;
    int first = a.offsets[row], n = a.offsets[row + 1] - first;
    size_t C = (size_t)a.H * D, at = (size_t)first * C + head * D, q_at = (size_t)first * a.q_stride + head * D,
           kv_at = (size_t)first * a.kv_stride + head * D;
    float by = a.scale * 1.44269504f;
    for (int key = 0; key < n; key += TILE) {
        accumulator<D> dk, dv;
        dk.zero();
        dv.zero();
        barrier();
        load_tile<D>(keys, (const bf16 *)a.k + kv_at + (size_t)key * a.kv_stride, a.kv_stride, n - key);
        load_tile<D>(values, (const bf16 *)a.v + kv_at + (size_t)key * a.kv_stride, a.kv_stride, n - key);
        copy_commit();
        struct tile_range range = tiles_seen(a, key, n, false);
        if (a.half && a.sees_first && key == 0) /* all queries see it */
            range.to = (n + TILE - 1) / TILE;
        for (int i = range.from; i < range.to; i++) {
            int query = i * TILE;
            float p[8][4], ds[8][4];
            barrier();
            load_tile<D>(queries, (const bf16 *)a.q + q_at + (size_t)query * a.q_stride, a.q_stride, n - query);
            load_tile<D>(gradients, (const bf16 *)a.dy + at + (size_t)query * C, C, n - query);
            copy_commit();
            fill_mask(mask, a, head, first, n, query, key);
            if (threadIdx.x < TILE) {
                bool there = query + (int)threadIdx.x < n;
                size_t number = (size_t)head * a.N + first + query + threadIdx.x;
                log_sum[threadIdx.x] = there ? a.log_sum[number] * 1.44269504f : 0;
                delta[threadIdx.x] = there ? a.delta[number] : 0;
            }
            copy_wait<0>();
            barrier();
            times_rows<D>(p, keys, own, queries);
            times_rows<D>(ds, values, own, gradients);
            UNROLL for (int j = 0; j < 8; j++) UNROLL for (int e = 0; e < 4; e++)
            {
                int mine = own + g + e / 2 * 8, other = 8 * j + 2 * t + e % 2;
                bool seen = key + mine < n && query + other < n && attention_sees(a, query + other, key + mine);
                float probability = seen ? exp2f(p[j][e] * by - log_sum[other]) : 0, m = mask_factor(mask, a, other, mine);
                ds[j][e] = probability * (ds[j][e] * m - delta[other]);
                p[j][e] = probability * m;
            }
            add_product<D>(dv, p, gradients);
            add_product<D>(dk, ds, queries);
            UNROLL for (int j = 0; j < 8; j++)
            {
                store_pair(scores + (own + g) * tile<TILE>::STRIDE + 8 * j + 2 * t, pack_bf16(ds[j][0], ds[j][1]));
                store_pair(scores + (own + g + 8) * tile<TILE>::STRIDE + 8 * j + 2 * t, pack_bf16(ds[j][2], ds[j][3]));
            }
            barrier();
            add_to_queries<D>(sums + at + (size_t)query * C, C, scores, keys, own, n - query);
        }
        store<D>((bf16 *)a.dk + kv_at + (size_t)key * a.kv_stride, a.kv_stride, dk, own, n - key, a.scale, a.scale);
        store<D>((bf16 *)a.dv + kv_at + (size_t)key * a.kv_stride, a.kv_stride, dv, own, n - key, 1, 1);
    }
    barrier();
    for (int i = threadIdx.x; i < n * D; i += THREADS)
        act_store((bf16 *)a.dq + q_at + (size_t)(i / D) * a.q_stride, i % D, sums[at + (size_t)(i / D) * C + i % D] * a.scale);
}

bool attention_has_tiles(const struct attention *a, bool half)
{
    return half && (a->D == 32 || a->D == 64) && !a->first_only && !a->bias_keys && !a->bias_queries;
}

void attention_forward_tiles(const struct attention *a, cudaStream_t stream)
{
    dim3 grid(a->T / TILE + a->B, a->H); /* tiles of all rows, or more */
    if (a->D == 64)
        LAUNCH(forward_tiles<64>, grid, dim3(THREADS), stream, *a);
    else
        LAUNCH(forward_tiles<32>, grid, dim3(THREADS), stream, *a);
}

void attention_backward_tiles(const struct attention *a, float *sums, cudaStream_t stream)
{
    dim3 grid(a->B, a->H);
    if (a->D == 64)
        LAUNCH(backward_tiles<64>, grid, dim3(THREADS), stream, *a, sums);
    else
        LAUNCH(backward_tiles<32>, grid, dim3(THREADS), stream, *a, sums);
}
