/* SPDX-License-Identifier: Apache-2.0 */
/* Owns attention: one head of one row of the batch at a time. A block of queries is scored against all keys of the row, and
 * scores live only until the next block: a few ten KB, in the near caches (Dao et al., 2022, FlashAttention, for rows short
 * enough that their scores need no second level of blocks). Backward computes them again from the logarithm of the sum.
 *
 * With a window, a block of queries is scored against the span of keys that any of them sees, and what one does not see is
 * -infinity; the row's first key, where it is seen from afar, stands beside the span as a column of its own. */
#include "worker/device/kernels/layout.h"
#include "worker/device/kernels/mask.h"
#include "worker/device/kernels/names.h"
#include "worker/device/kernels/tile.h"
#include "worker/device/kernels/transpose.h"

#include <math.h>

#if defined(HAS_AMX) && ACT_IS_BF16
#define TILED 1 /* sizes are multiples of the tiles of AMX */
#define QUERIES 64
#define WHOLE 32 /* rows, columns and depth of products are up to so many */
#define WHOLE_ROWS 16
#else
#define TILED 0
#define QUERIES 48
#define WHOLE LANES
#define WHOLE_ROWS UNIT_HOLDS
#endif
#define LOG2E 1.44269504088896341f

/* One head of one row. wide: D up to whole vectors of units; tall: n up to WHOLE; apart: distance of rows of keys_across
 * and values_across, at least tall. */
struct head {
    const struct attention *a;
    size_t first, n, tall, apart, D, wide, C, head, mask_row;
    size_t query, queries; /* number of the first query, and how many there are */
    size_t most;           /* columns of scores that there is memory for, with what keeps their rows apart */
    /* of the block at hand: keys low .. low + keys - 1 of the row, up to whole vectors; far: the first key, too, is seen */
    size_t low, keys, span;
    size_t row; /* distance of rows of scores and all that is laid out like them, at least span */
    bool far;
    float scale, kept, log_kept; /* of scores; of weights that dropout keeps */
    /* packed; as factors b of products with depth over D (transposed) or over tokens (pairs of rows where a unit holds two) */
    cell *rows;
    unit *keys_across, *values_across, *keys_down, *values_down;
    /* of a block of queries */
    cell *queries_packed, *outputs, *weights, *slopes;
    unit *queries_down, *outputs_down, *weights_down, *slopes_down;
    unit *turned; /* TILED: a block of vectors, each a column */
    float *scores, *products, *result;
    float *dkeys, *dvalues;           /* (tall, wide); TILED: (wide, apart) */
    float *first_dkey, *first_dvalue; /* of the row's first key, where it is seen from afar */
    uint8_t *bits;
    float deltas[QUERIES];
    float far_scores[QUERIES], far_products[QUERIES]; /* of the first key: as scores and products, then as weights and slopes */
    bool far_kept[QUERIES];
};

/* Sets the arrays of h, whose sizes are known, into memory at `base`; returns the bytes they need. */
static size_t head_lay_out(struct head *h, void *base)
{
    struct cursor c = {base, 0};
    size_t block = QUERIES * h->wide, wall = h->tall * h->wide, scores = QUERIES * h->most;
    h->rows = take(&c, wall * sizeof(cell));
    h->keys_across = take(&c, h->apart * h->wide * sizeof(cell));
    h->values_across = take(&c, h->apart * h->wide * sizeof(cell));
    h->keys_down = take(&c, wall * sizeof(cell));
    h->values_down = take(&c, wall * sizeof(cell));
    h->queries_packed = take(&c, block * sizeof(cell));
    h->outputs = take(&c, block * sizeof(cell));
    h->queries_down = take(&c, block * sizeof(cell));
    h->outputs_down = take(&c, block * sizeof(cell));
    h->scores = take(&c, scores * sizeof(float));
    h->products = take(&c, scores * sizeof(float));
    h->weights = take(&c, scores * sizeof(cell));
    h->slopes = take(&c, scores * sizeof(cell));
    h->weights_down = take(&c, scores * sizeof(cell));
    h->slopes_down = take(&c, scores * sizeof(cell));
    h->result = take(&c, block * sizeof(float));
    h->turned = take(&c, TILED * block * sizeof(cell));
    h->dkeys = take(&c, h->apart * h->wide * sizeof(float));
    h->dvalues = take(&c, h->apart * h->wide * sizeof(float));
    h->first_dkey = TILED ? take(&c, h->wide * sizeof(float)) : h->dkeys;
    h->first_dvalue = TILED ? take(&c, h->wide * sizeof(float)) : h->dvalues;
    h->bits = take(&c, QUERIES * h->mask_row + MASK_SLACK);
    return c.at;
}

#define LOW_STEP (WHOLE > 16 ? WHOLE : 16) /* a span begins at a multiple of it: of vectors, and of bytes of masks */
#define LINE 16                            /* units of a cache line */

/* Distance of rows of at least n units, a column of which goes through all sets of the nearest cache: an odd number of lines. At
 * 1,024 units, say, all its lines would fall into one set and push each other out. */
static size_t spread(size_t n)
{
    return ((n + LINE - 1) / LINE | 1) * LINE;
}

static struct head head_sizes(size_t n, size_t D, size_t half)
{
    size_t tall = up(n, WHOLE), most = tall;
    if (half > 0 && half < n)
        most = up(QUERIES + 2 * half + LOW_STEP, WHOLE);
    return (struct head){.n = n,
                         .tall = tall,
                         .apart = spread(tall),
                         .most = spread(most < tall ? most : tall),
                         .D = D,
                         .wide = up(D, TILED ? WHOLE : LANES * UNIT_HOLDS),
                         .mask_row = (n + 7) / 8};
}

size_t KERNEL(attention_scratch)(size_t n, size_t D, size_t half)
{
    struct head h = head_sizes(n, D, half);
    return head_lay_out(&h, NULL);
}

static struct head head_open(const struct attention *a, size_t row, size_t head, void *scratch)
{
    struct head h = head_sizes((size_t)(a->offsets[row + 1] - a->offsets[row]), a->D, a->window.half);
    h.a = a;
    h.first = (size_t)a->offsets[row];
    h.query = a->first_only ? row : h.first;
    h.queries = a->first_only ? 1 : h.n;
    h.head = head;
    h.C = a->H * a->D;
    h.scale = 1 / sqrtf((float)a->D);
    h.kept = a->mask ? a->mask->scale : 1;
    h.log_kept = logf(h.kept);
    head_lay_out(&h, scratch);
    return h;
}

#if UNIT_HOLDS == 2 && LANES == 16
INLINE __m512i load_halves(const act *p, size_t n) /* n < 32 */
{
    return _mm512_maskz_loadu_epi16((__mmask32)((1u << n) - 1), p);
}
#endif

/* `count` vectors of D act elements, `stride` apart, as rows of `wide` cells; zeros up to `rows` rows. */
INLINE void pack(cell *to, size_t wide, const act *from, size_t stride, size_t D, size_t count, size_t rows)
{
    for (size_t i = 0; i < count; i++, from += stride, to += wide) {
#if UNIT_HOLDS == 2 && LANES == 16
        for (size_t c = 0; c < wide; c += 32)
            _mm512_storeu_si512(to + c, c + 32 <= D ? _mm512_loadu_si512(from + c) : load_halves(from + c, c < D ? D - c : 0));
#elif UNIT_HOLDS == 2
        memcpy(to, from, D * sizeof *to);
        memset(to + D, 0, (wide - D) * sizeof *to);
#else
        for (size_t c = 0; c < wide; c += LANES)
            store(to + c, c < D ? act_load_most(from + c, D - c) : splat(0));
#endif
    }
    memset(to, 0, (rows - count) * wide * sizeof *to);
}

/* This head's part of a vector, vectors being `stride` apart. */
static const act *part_of(const struct head *h, const void *vectors, size_t stride, size_t i)
{
    return (const act *)vectors + i * stride + h->head * h->D;
}

static act *result_of(const struct head *h, void *vectors, size_t stride, size_t i)
{
    return (act *)vectors + i * stride + h->head * h->D;
}

static void pack_row(const struct head *h, const void *keys_or_values)
{
    pack(h->rows, h->wide, part_of(h, keys_or_values, h->a->kv_stride, h->first), h->a->kv_stride, h->D, h->n, h->tall);
}

static void pack_queries(const struct head *h, size_t q, size_t queries, size_t rows)
{
    pack(h->queries_packed, h->wide, part_of(h, h->a->q, h->a->q_stride, q), h->a->q_stride, h->D, queries, rows);
}

/* Rows of cells as a factor b with depth over D. */
static void across(unit *to, const cell *rows, const struct head *h)
{
    size_t units = h->wide / UNIT_HOLDS;
    for (size_t i = 0; i < h->tall; i += LANES)
        for (size_t j = 0; j < units; j += LANES)
            transpose_square(to + j * h->apart + i, h->apart, (const unit *)rows + i * units + j, units);
}

/* Rows of cells as a factor b with depth over rows; rows: even where a unit holds two. Returns where it is. */
INLINE const unit *down(unit *to, const cell *from, size_t rows, size_t wide)
{
#if UNIT_HOLDS == 2
    for (size_t i = 0; i < rows; i += 2)
        for (size_t c = 0; c < wide; c += LANES) {
            const cell *at = from + i * wide + c;
            *(bits_unaligned *)(to + i / 2 * wide + c) =
                half_pairs(*(const half_unaligned *)at, *(const half_unaligned *)(at + wide));
        }
    return to;
#else
    (void)to;
    (void)rows;
    (void)wide;
    return from;
#endif
}

/* What the block of `queries` queries from number q sees. */
static void look(struct head *h, size_t q, size_t queries)
{
    size_t half = h->a->window.half, first = q - h->query, last = first + queries - 1;
    if (half == 0 || h->a->first_only) {
        h->low = 0;
        h->keys = h->n;
    } else {
        h->low = first > half ? (first - half) / LOW_STEP * LOW_STEP : 0;
        h->keys = (h->n - last > half ? last + half + 1 : h->n) - h->low;
    }
    h->span = up(h->keys, WHOLE);
    h->row = spread(h->span);
    h->far = h->a->window.first && h->low > 0;
    h->mask_row = (h->keys + 7) / 8;
}

/* c (rows, columns) = a b with c's rows of `c_row` floats, a's of `a_cells` cells, b's of `b_row` units, and depth of `depth`
 * cells. */
static void multiply_rows(float *c, size_t c_row, const cell *a, size_t a_cells, const unit *b, size_t b_row, size_t depth,
                          size_t rows, size_t columns)
{
    multiply((struct product){.c = c,
                              .a = (const unit *)a,
                              .b = b,
                              .c_row = c_row,
                              .a_row = a_cells / UNIT_HOLDS,
                              .a_step = 1,
                              .b_step = b_row,
                              .depth = (depth + UNIT_HOLDS - 1) / UNIT_HOLDS},
             rows, columns);
}

/* c += the product, over the block's queries, of weights or slopes by key and vectors: c (keys, wide) = weights^T vectors; TILED:
 * c (wide, keys) = vectors^T weights, as tiles take rows that hold their depth. */
static void multiply_down(float *c, const unit *weights, const unit *vectors, const struct head *h, size_t queries)
{
    struct product p = {.c = c + h->low * h->wide,
                        .a = weights,
                        .b = vectors,
                        .c_row = h->wide,
                        .a_row = 1,
                        .a_step = h->row,
                        .b_step = h->wide,
                        .depth = (queries + UNIT_HOLDS - 1) / UNIT_HOLDS,
                        .add = 1};
    if (!TILED) {
        multiply(p, h->keys, h->wide);
        return;
    }
    for (size_t i = 0; i < QUERIES / UNIT_HOLDS; i += LANES)
        for (size_t j = 0; j < h->wide; j += LANES)
            transpose_square(h->turned + j * QUERIES / UNIT_HOLDS + i, QUERIES / UNIT_HOLDS, vectors + i * h->wide + j, h->wide);
    p.c = c + h->low;
    p.a = h->turned;
    p.b = weights;
    p.c_row = h->apart;
    p.a_row = QUERIES / UNIT_HOLDS;
    p.a_step = 1;
    p.b_step = h->row;
    multiply(p, h->wide, h->span);
}

/* Of the span, what products over keys go through. */
static size_t depth_of(const struct head *h)
{
    return TILED ? h->span : h->keys;
}

/* Dropout of a block of queries: h->mask_row bytes each. */
static void draw_mask(const struct head *h, size_t first, size_t queries)
{
    if (h->a->mask)
        mask_block(h->bits, h->a->mask, first, queries, (uint32_t)(h->head << 16 | h->low / 8), h->mask_row);
}

static const uint8_t *bits_of(const struct head *h, size_t i)
{
    return h->a->mask ? h->bits + i * h->mask_row : NULL;
}

/* Leaves query i, at `at` in the row, what it sees of the span. */
static void narrow(float *scores, const struct head *h, size_t at)
{
    size_t half = h->a->window.half, from = at > h->low + half ? at - half - h->low : 0, to = at + half + 1 - h->low;
    float first = scores[0];
    for (size_t j = 0; j < from; j++)
        scores[j] = -INFINITY;
    for (size_t j = to; j < h->keys; j++)
        scores[j] = -INFINITY;
    if (h->a->window.first && h->low == 0)
        scores[0] = first;
}

/* Products of a block of vectors of this head, `stride` apart, with the first key's. */
static void multiply_far(float *c, const struct head *h, const act *a, size_t stride, const act *b, size_t queries)
{
    for (size_t i = 0; i < queries; i++, a += stride) {
        vector sum = splat(0);
        for (size_t k = 0; k < h->D; k += LANES)
            sum = multiply_add(act_load_most(a + k, h->D - k), act_load_most(b + k, h->D - k), sum);
        c[i] = sum_lanes(sum);
    }
}

/* Scores of the block of queries from number q; behind the last key they are -infinity, whose weight is 0. */
static void score(struct head *h, size_t q, size_t queries)
{
    const struct attention *a = h->a;
    multiply_rows(h->scores, h->row, h->queries_packed, h->wide, h->keys_across + h->low, h->apart, h->D, queries, h->span);
    for (size_t i = 0; i < queries; i++)
        for (size_t j = h->keys; j < h->span; j++)
            h->scores[i * h->row + j] = -INFINITY;
    if (a->window.half == 0 || a->first_only)
        return;
    for (size_t i = 0; i < queries; i++)
        narrow(h->scores + i * h->row, h, q + i - h->query);
    if (h->far)
        multiply_far(h->far_scores, h, part_of(h, a->q, a->q_stride, q), a->q_stride, part_of(h, a->k, a->kv_stride, h->first),
                     queries);
    for (size_t i = 0; h->far && i < queries; i++) {
        uint8_t bits[MASK_BYTES_MIN];
        h->far_kept[i] = true;
        if (!a->mask)
            continue;
        mask_bits(bits, a->mask, q + i, (uint32_t)h->head << 16, 1);
        h->far_kept[i] = bits[0] & 1;
    }
}

/* Weights of query i, not divided by their sum; returns what the product with the values is to be multiplied by. */
static float soften(struct head *h, size_t i, size_t query)
{
    const float *s = h->scores + i * h->row;
    cell *p = h->weights + i * h->row;
    const uint8_t *bits = bits_of(h, i);
    vector most = splat(-INFINITY), total = splat(0), factor = splat(h->scale * LOG2E);
    for (size_t j = 0; j < h->span; j += LANES)
        most = maximum(most, load(s + j));
    float top = maximum_lane(most);
    if (h->far && !(h->far_scores[i] <= top)) /* a NaN goes on */
        top = h->far_scores[i];
    vector shift = splat(-top) * factor;
    for (size_t j = 0; j < h->span; j += LANES) {
        vector e = exp2_of(multiply_add(load(s + j), factor, shift));
        total += e;
        if (bits)
            e = mask_keep(bits, j, e);
#if UNIT_HOLDS == 2
        *(half_unaligned *)(p + j) = half_round(e);
#else
        store(p + j, e);
#endif
    }
    float sum = sum_lanes(total);
    if (h->far) {
        float e = exp2f((h->far_scores[i] - top) * (h->scale * LOG2E));
        sum += e;
        h->far_scores[i] = h->far_kept[i] ? e : 0;
    }
    h->a->log_sum[h->head * h->a->N + query] = top * h->scale + logf(sum);
    return h->kept / sum;
}

/* to += factor from. */
static void add_scaled(float *to, const act *from, size_t D, float factor)
{
    for (size_t c = 0; c < D; c += LANES)
        store_most(to + c, multiply_add(act_load_most(from + c, D - c), splat(factor), load_most(to + c, D - c)), D - c);
}

INLINE void put(act *to, const float *from, size_t D, float factor)
{
    for (size_t c = 0; c < D; c += LANES)
        act_store_most(to + c, load_most(from + c, D - c) * splat(factor), D - c);
}

void KERNEL(attention_forward)(const struct attention *a, size_t row, size_t head, void *scratch)
{
    struct head h = head_open(a, row, head, scratch);
    pack_row(&h, a->k);
    across(h.keys_across, h.rows, &h);
    pack_row(&h, a->v);
    const unit *values = down(h.values_down, h.rows, h.tall, h.wide);
    amx_begin();
    for (size_t done = 0; done < h.queries; done += QUERIES) {
        size_t q = h.query + done, queries = h.queries - done < QUERIES ? h.queries - done : QUERIES;
        float factors[QUERIES];
        look(&h, q, queries);
        pack_queries(&h, q, queries, up(queries, WHOLE_ROWS));
        score(&h, q, queries);
        draw_mask(&h, q, queries);
        for (size_t i = 0; i < queries; i++)
            factors[i] = soften(&h, i, q + i);
        multiply_rows(h.result, h.wide, h.weights, h.row, values + h.low / UNIT_HOLDS * h.wide, h.wide, depth_of(&h), queries,
                      h.wide);
        for (size_t i = 0; h.far && i < queries; i++)
            add_scaled(h.result + i * h.wide, part_of(&h, a->v, a->kv_stride, h.first), h.D, h.far_scores[i]);
        for (size_t i = 0; i < queries; i++)
            put(result_of(&h, a->y, h.C, q + i), h.result + i * h.wide, h.D, factors[i]);
    }
    amx_end();
}

/* dy . y of each query, all at once: rows are far apart in memory, and misses overlap only where nothing else is between them. */
static void deltas_of(float *deltas, const struct head *h, size_t first, size_t queries)
{
    const act *dy = part_of(h, h->a->dy, h->C, first), *y = part_of(h, h->a->y, h->C, first);
    for (size_t i = 0; i < queries; i++, dy += h->C, y += h->C) {
        vector sum = splat(0);
        for (size_t c = 0; c < h->D; c += LANES)
            sum = multiply_add(act_load_most(dy + c, h->D - c), act_load_most(y + c, h->D - c), sum);
        deltas[i] = sum_lanes(sum);
    }
}

/* A query's way from scores to slopes, with the factor of dropout folded in: w = kept p by a shift of the exponent, and
 * ds = p (kept dp - delta) = w (dp - delta / kept) where dp and w are kept. */
struct slope {
    const uint8_t *bits;
    float *scores, *products;
    vector shift, delta;
};

static struct slope slope_open(const struct head *h, size_t i, size_t query)
{
    return (struct slope){bits_of(h, i), h->scores + i * h->row, h->products + i * h->row,
                          splat((h->log_kept - h->a->log_sum[h->head * h->a->N + query]) * LOG2E), splat(h->deltas[i] / h->kept)};
}

struct weight {
    vector weight, slope;
};

INLINE struct weight weight_at(const struct slope *s, size_t j, vector factor)
{
    vector p = exp2_of(multiply_add(load(s->scores + j), factor, s->shift)), d = load(s->products + j);
    if (!s->bits)
        return (struct weight){p, p * (d - s->delta)};
    return (struct weight){mask_keep(s->bits, j, p), p * (mask_keep(s->bits, j, d) - s->delta)};
}

#if UNIT_HOLDS == 2
#if LANES == 16
INLINE __m512i interleaved(__m512bh halves) /* elements 0, 16, 1, 17, ... */
{
    const __m512i order =
        _mm512_add_epi32(_mm512_set1_epi32(0x00100000),
                         _mm512_mullo_epi32(_mm512_set1_epi32(0x00010001),
                                            _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)));
    return _mm512_permutexvar_epi16(order, (__m512i)halves);
}

/* Two rows rounded: as pairs, and, unless NULL, each by itself. */
INLINE void put_pairs(unit *down, cell *even, cell *odd, vector a, vector b)
{
    __m512bh halves = _mm512_cvtne2ps_pbh(b, a);
    _mm512_storeu_si512(down, interleaved(halves));
    if (!even)
        return;
    _mm256_storeu_si256((void *)even, _mm512_castsi512_si256((__m512i)halves));
    _mm256_storeu_si256((void *)odd, _mm512_extracti64x4_epi64((__m512i)halves, 1));
}
#else
INLINE void put_pairs(unit *down, cell *even, cell *odd, vector a, vector b)
{
    half_vector first = half_round(a), second = half_round(b);
    *(bits_unaligned *)down = half_pairs(first, second);
    if (!even)
        return;
    *(half_unaligned *)even = first;
    *(half_unaligned *)odd = second;
}
#endif

/* Of queries i and i + 1, which is none where i is the last. */
static void slopes_of(const struct head *h, size_t i, size_t query, size_t queries)
{
    bool both = i + 1 < queries;
    struct slope even = slope_open(h, i, query), odd = both ? slope_open(h, i + 1, query + 1) : even;
    vector factor = splat(h->scale * LOG2E);
    cell *slopes = h->slopes + i * h->row;
    for (size_t j = 0; j < h->span; j += LANES) {
        struct weight a = weight_at(&even, j, factor), b = {splat(0), splat(0)};
        if (both)
            b = weight_at(&odd, j, factor);
        put_pairs(h->weights_down + i / 2 * h->row + j, NULL, NULL, a.weight, b.weight);
        put_pairs(h->slopes_down + i / 2 * h->row + j, slopes + j, slopes + h->row + j, a.slope, b.slope);
    }
}

/* No queries, up to whole products over them. */
static void no_slopes(const struct head *h, size_t from, size_t to)
{
    for (size_t i = from / 2; i < to / 2; i++) {
        memset(h->weights_down + i * h->row, 0, h->span * sizeof(unit));
        memset(h->slopes_down + i * h->row, 0, h->span * sizeof(unit));
    }
}
#else
/* In place of scores and products. */
static void slopes_of(const struct head *h, size_t i, size_t query, size_t queries)
{
    (void)queries;
    struct slope s = slope_open(h, i, query);
    vector factor = splat(h->scale * LOG2E);
    for (size_t j = 0; j < h->span; j += LANES) {
        struct weight w = weight_at(&s, j, factor);
        store(s.scores + j, w.weight);
        store(s.products + j, w.slope);
    }
}
#endif

/* The first key's part in a block of queries: weights and slopes as weight_at has them, and the gradients that follow. */
static void backward_far(struct head *h, size_t q, size_t queries)
{
    const struct attention *a = h->a;
    const act *key = part_of(h, a->k, a->kv_stride, h->first), *dy = part_of(h, a->dy, h->C, q);
    multiply_far(h->far_products, h, dy, h->C, part_of(h, a->v, a->kv_stride, h->first), queries);
    for (size_t i = 0; i < queries; i++) {
        float shift = (h->log_kept - a->log_sum[h->head * a->N + q + i]) * LOG2E;
        float p = exp2f(h->far_scores[i] * (h->scale * LOG2E) + shift);
        float slope = p * ((h->far_kept[i] ? h->far_products[i] : 0) - h->deltas[i] / h->kept);
        add_scaled(h->result + i * h->wide, key, h->D, slope);
        add_scaled(h->first_dkey, part_of(h, a->q, a->q_stride, q + i), h->D, slope);
        if (h->far_kept[i])
            add_scaled(h->first_dvalue, dy + i * h->C, h->D, p);
    }
}

static void backward_block(struct head *h, const unit *keys, size_t q, size_t queries)
{
    const struct attention *a = h->a;
    size_t whole = TILED ? QUERIES : up(queries, UNIT_HOLDS);
    look(h, q, queries);
    pack_queries(h, q, queries, whole);
    pack(h->outputs, h->wide, part_of(h, a->dy, h->C, q), h->C, h->D, queries, whole);
    const unit *queries_down = down(h->queries_down, h->queries_packed, whole, h->wide);
    const unit *outputs_down = down(h->outputs_down, h->outputs, whole, h->wide);
    score(h, q, queries);
    multiply_rows(h->products, h->row, h->outputs, h->wide, h->values_across + h->low, h->apart, h->D, queries, h->span);
    draw_mask(h, q, queries);
    deltas_of(h->deltas, h, q, queries);
    for (size_t i = 0; i < queries; i += UNIT_HOLDS)
        slopes_of(h, i, q + i, queries);
#if UNIT_HOLDS == 2
    no_slopes(h, up(queries, 2), whole);
    const unit *weights_down = h->weights_down, *slopes_down = h->slopes_down;
    const cell *slopes = h->slopes;
#else
    const unit *weights_down = h->scores, *slopes_down = h->products;
    const cell *slopes = h->products;
#endif
    multiply_rows(h->result, h->wide, slopes, h->row, keys + h->low / UNIT_HOLDS * h->wide, h->wide, depth_of(h), queries,
                  h->wide);
    multiply_down(h->dvalues, weights_down, outputs_down, h, whole);
    multiply_down(h->dkeys, slopes_down, queries_down, h, whole);
    if (h->far)
        backward_far(h, q, queries);
    for (size_t i = 0; i < queries; i++)
        put(result_of(h, a->dq, a->q_stride, q + i), h->result + i * h->wide, h->D, h->scale);
}

/* Gradients of keys or values to where they belong. first: what the first key has from afar. */
static void put_rows(const struct head *h, void *vectors, float *gradients, const float *first, float factor)
{
    size_t row = TILED ? h->apart : h->wide;
    float square[LANES * LANES];
    if (!TILED) {
        for (size_t i = 0; i < h->n; i++)
            put(result_of(h, vectors, h->a->kv_stride, h->first + i), gradients + i * row, h->D, factor);
        return;
    }
    for (size_t c = 0; c < h->D; c++)
        gradients[c * row] += first[c];
    for (size_t i = 0; i < h->n; i += LANES)
        for (size_t c = 0; c < h->D; c += LANES) {
            transpose_square(square, LANES, gradients + c * row + i, row);
            for (size_t j = 0; j < LANES && i + j < h->n; j++)
                put(result_of(h, vectors, h->a->kv_stride, h->first + i + j) + c, square + j * LANES,
                    h->D - c < LANES ? h->D - c : LANES, factor);
        }
}

void KERNEL(attention_backward)(const struct attention *a, size_t row, size_t head, void *scratch)
{
    struct head h = head_open(a, row, head, scratch);
    pack_row(&h, a->v);
    across(h.values_across, h.rows, &h);
    pack_row(&h, a->k);
    across(h.keys_across, h.rows, &h);
    const unit *keys = down(h.keys_down, h.rows, h.tall, h.wide);
    amx_begin();
    memset(h.dkeys, 0, h.apart * h.wide * sizeof(float));
    memset(h.dvalues, 0, h.apart * h.wide * sizeof(float));
    memset(h.first_dkey, 0, h.wide * sizeof(float));
    memset(h.first_dvalue, 0, h.wide * sizeof(float));
    for (size_t done = 0; done < h.queries; done += QUERIES)
        backward_block(&h, keys, h.query + done, h.queries - done < QUERIES ? h.queries - done : QUERIES);
    amx_end();
    put_rows(&h, a->dk, h.dkeys, h.first_dkey, h.scale);
    put_rows(&h, a->dv, h.dvalues, h.first_dvalue, 1);
}
