/* SPDX-License-Identifier: Apache-2.0 */
/* Owns attention with a bias by distance, one head of one row of the batch at a time, in blocks of queries as attention.c. A
 * query's products with the embeddings of all distances stand in a line, from which each key takes the one of its distance; a
 * key's stand in a line of the row's (n, R), R the distances that the row has. Near distances have an embedding each, so there a
 * line is taken as it is. Products are of floats whatever the act type. */
#define TILE_OF_FLOATS
#include "worker/device/kernels/layout.h"
#include "worker/device/kernels/mask.h"
#include "worker/device/kernels/names.h"
#include "worker/device/kernels/tile.h"
#include "worker/device/kernels/transpose.h"

#include <math.h>

#define QUERIES 48
#define KEYS 32 /* at a time, where lines of many keys are gone through */
#define LOG2E 1.44269504088896341f

/* One head of one row. Rows of vectors are `wide` apart, lines over keys `tall`, lines over distances `span`. Distances are
 * counted down from the query's farthest predecessor: entry t is of place high - t. */
struct head {
    const struct relative_attention *r;
    const struct attention *a;
    size_t first, n, tall, D, wide, C, head, mask_row;
    size_t high, R, span;
    size_t near, behind; /* entries of `entry` from the one to before the other differ by 1 */
    float scale, kept, log_kept;
    float *keys, *values, *keys_across, *values_across;                                  /* (n,wide), (wide,tall) */
    float *of_keys, *of_queries, *of_keys_across, *of_queries_across;                    /* (R,wide), (wide,span) */
    float *key_scores, *key_slopes;                                                      /* (n,span) */
    float *queries, *outputs, *result, *scores, *products, *query_scores, *query_slopes; /* of a block */
    float *dkeys, *dvalues, *dof_keys, *dof_queries;                                     /* (n,wide), (R,wide) */
    int32_t *entry; /* (2n-1): of query i and key j at n - 1 - i + j */
    uint8_t *bits;
    float deltas[QUERIES];
};

/* Of a line of n floats to the next: no multiple of a page's part, whose lines would share few sets of the near cache. */
static size_t apart(size_t n)
{
    size_t ret = up(n, LANES);
    return ret % 64 ? ret : ret + LANES;
}

static float *take_floats(struct cursor *c, size_t count)
{
    return take(c, count * sizeof(float));
}

/* Sets the arrays of h, whose sizes are known, into memory at `base`; returns the bytes they need. */
static size_t lay_out(struct head *h, void *base)
{
    struct cursor c = {base, 0};
    size_t rows = up(h->n, LANES) * h->wide, distances = up(h->R, LANES) * h->wide;
    float **const of_rows[] = {&h->keys, &h->values, &h->dkeys, &h->dvalues};
    float **const of_distances[] = {&h->of_keys, &h->of_queries, &h->dof_keys, &h->dof_queries};
    float **const of_block[] = {&h->queries, &h->outputs, &h->result};
    for (size_t i = 0; i < sizeof of_rows / sizeof *of_rows; i++)
        *of_rows[i] = take_floats(&c, rows);
    for (size_t i = 0; i < sizeof of_distances / sizeof *of_distances; i++)
        *of_distances[i] = take_floats(&c, distances);
    for (size_t i = 0; i < sizeof of_block / sizeof *of_block; i++)
        *of_block[i] = take_floats(&c, QUERIES * h->wide);
    h->keys_across = take_floats(&c, h->wide * h->tall);
    h->values_across = take_floats(&c, h->wide * h->tall);
    h->of_keys_across = take_floats(&c, h->wide * h->span);
    h->of_queries_across = take_floats(&c, h->wide * h->span);
    h->key_scores = take_floats(&c, h->n * h->span);
    h->key_slopes = take_floats(&c, h->n * h->span);
    h->scores = take_floats(&c, QUERIES * h->tall);
    h->products = take_floats(&c, QUERIES * h->tall);
    h->query_scores = take_floats(&c, QUERIES * h->span);
    h->query_slopes = take_floats(&c, QUERIES * h->span);
    h->entry = take(&c, 2 * h->n * sizeof *h->entry);
    h->bits = take(&c, QUERIES * h->mask_row + MASK_SLACK + MASK_BYTES_MIN);
    return c.at;
}

/* Place of the distance d. */
static size_t place_of(const struct relative_attention *r, ptrdiff_t d)
{
    return (size_t)r->places[d + (ptrdiff_t)r->reach - 1];
}

static struct head head_sizes(const struct relative_attention *r, size_t n)
{
    size_t high = place_of(r, (ptrdiff_t)n - 1), low = place_of(r, 1 - (ptrdiff_t)n);
    return (struct head){.r = r,
                         .a = &r->attention,
                         .n = n,
                         .tall = apart(n),
                         .D = r->attention.D,
                         .wide = RELATIVE_WIDE(r->attention.D),
                         .C = r->attention.H * r->attention.D,
                         .mask_row = (n + 7) / 8,
                         .high = high,
                         .R = high - low + 1,
                         .span = apart(high - low + 1)};
}

size_t KERNEL(relative_scratch)(const struct relative_attention *r, size_t n)
{
    struct head h = head_sizes(r, n);
    return lay_out(&h, NULL);
}

static void set_entries(struct head *h)
{
    size_t count = 2 * h->n - 1;
    for (size_t i = 0; i < count; i++)
        h->entry[i] = (int32_t)(h->high - place_of(h->r, (ptrdiff_t)h->n - 1 - (ptrdiff_t)i));
    for (h->near = h->n - 1; h->near > 0 && h->entry[h->near] - h->entry[h->near - 1] == 1;)
        h->near--;
    for (h->behind = h->n; h->behind < count && h->entry[h->behind] - h->entry[h->behind - 1] == 1;)
        h->behind++;
}

static struct head head_open(const struct relative_attention *r, size_t row, size_t head, void *scratch)
{
    const struct attention *a = &r->attention;
    struct head h = head_sizes(r, (size_t)(a->offsets[row + 1] - a->offsets[row]));
    h.first = (size_t)a->offsets[row];
    h.head = head;
    h.scale = 1 / sqrtf((float)a->D * (float)(1 + (r->keys ? 1 : 0) + (r->queries ? 1 : 0)));
    h.kept = a->mask ? a->mask->scale : 1;
    h.log_kept = logf(h.kept);
    lay_out(&h, scratch);
    return h;
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

/* `count` vectors, `stride` elements from one to the next, as rows; zeros up to `rows` rows. */
static void pack(const struct head *h, float *to, const act *from, ptrdiff_t stride, size_t count, size_t rows)
{
    for (size_t i = 0; i < count; i++, from += stride, to += h->wide)
        for (size_t c = 0; c < h->wide; c += LANES)
            store(to + c, c < h->D ? act_load_most(from + c, h->D - c) : splat(0));
    memset(to, 0, (rows - count) * h->wide * sizeof *to);
}

static void pack_row(const struct head *h, float *to, const void *keys_or_values)
{
    size_t stride = h->a->kv_stride;
    pack(h, to, part_of(h, keys_or_values, stride, h->first), (ptrdiff_t)stride, h->n, up(h->n, LANES));
}

static void across(const struct head *h, float *to, size_t to_row, const float *rows, size_t count)
{
    for (size_t i = 0; i < up(count, LANES); i += LANES)
        for (size_t j = 0; j < h->wide; j += LANES)
            transpose_square(to + j * to_row + i, to_row, rows + i * h->wide + j, h->wide);
}

static void pack_distances(const struct head *h, float *rows, float *columns, const void *vectors)
{
    ptrdiff_t stride = (ptrdiff_t)h->r->stride;
    pack(h, rows, part_of(h, vectors, h->r->stride, h->high), -stride, h->R, up(h->R, LANES));
    across(h, columns, h->span, rows, h->R);
}

/* c (rows, columns) = or += a (rows, depth) b (depth, columns); strides of a's rows and steps in depth. */
static void multiply_into(float *c, size_t c_row, const float *a, size_t a_row, size_t a_step, const float *b, size_t b_row,
                          size_t depth, size_t rows, size_t columns, int add)
{
    multiply((struct product){.c = c,
                              .a = a,
                              .b = b,
                              .c_row = c_row,
                              .a_row = a_row,
                              .a_step = a_step,
                              .b_step = b_row,
                              .depth = depth,
                              .add = add},
             rows, up(columns, LANES));
}

/* Of the row, for all blocks: keys, distances, and the products of the two. */
static void prepare(struct head *h)
{
    const struct relative_attention *r = h->r;
    set_entries(h);
    pack_row(h, h->keys, h->a->k);
    across(h, h->keys_across, h->tall, h->keys, h->n);
    pack_row(h, h->values, h->a->v);
    if (r->keys)
        pack_distances(h, h->of_keys, h->of_keys_across, r->keys);
    if (!r->queries)
        return;
    pack_distances(h, h->of_queries, h->of_queries_across, r->queries);
    multiply_into(h->key_scores, h->span, h->keys, h->wide, 1, h->of_queries_across, h->span, h->D, h->n, h->R, 0);
}

/* Of query i of the row: the entries of its keys, and the keys whose entries differ by 1. */
struct line {
    const int32_t *entry;
    size_t from, to;
};

static struct line line_of(const struct head *h, size_t i)
{
    size_t first = h->n - 1 - i;
    size_t from = h->near > first ? h->near - first : 0, to = h->behind - first < h->n ? h->behind - first : h->n;
    return (struct line){h->entry + first, from, to};
}

/* scores[j] += line[entry of j]. */
static void take_line(float *scores, const float *line, const struct line *l, size_t n)
{
    const float *near = line + l->entry[l->from];
    for (size_t j = 0; j < l->from; j++)
        scores[j] += line[l->entry[j]];
    for (size_t j = l->from; j < l->to; j += LANES)
        store_most(scores + j, load_most(scores + j, l->to - j) + load_most(near + (j - l->from), l->to - j), l->to - j);
    for (size_t j = l->to; j < n; j++)
        scores[j] += line[l->entry[j]];
}

/* line[entry of j] += slopes[j]. */
static void give_line(float *line, const float *slopes, const struct line *l, size_t n)
{
    float *near = line + l->entry[l->from];
    for (size_t j = l->from; j < l->to; j += LANES)
        store_most(near + (j - l->from), load_most(slopes + j, l->to - j), l->to - j);
    for (size_t j = 0; j < l->from; j++)
        line[l->entry[j]] += slopes[j];
    for (size_t j = l->to; j < n; j++)
        line[l->entry[j]] += slopes[j];
}

/* Scores of the block of queries from the row's query `at`; behind the last key they are -infinity, whose weight is 0. */
static void score(struct head *h, size_t at, size_t queries)
{
    const struct attention *a = h->a;
    pack(h, h->queries, part_of(h, a->q, a->q_stride, h->first + at), (ptrdiff_t)a->q_stride, queries, queries);
    multiply_into(h->scores, h->tall, h->queries, h->wide, 1, h->keys_across, h->tall, h->D, queries, h->n, 0);
    if (h->r->keys)
        multiply_into(h->query_scores, h->span, h->queries, h->wide, 1, h->of_keys_across, h->span, h->D, queries, h->R, 0);
    for (size_t i = 0; i < queries; i++) {
        struct line l = line_of(h, at + i);
        if (h->r->keys)
            take_line(h->scores + i * h->tall, h->query_scores + i * h->span, &l, h->n);
        for (size_t j = h->n; j < h->tall; j++)
            h->scores[i * h->tall + j] = -INFINITY;
    }
    for (size_t j = 0; j < h->n && h->r->queries; j += KEYS)
        for (size_t i = 0; i < queries; i++) {
            const int32_t *entry = h->entry + h->n - 1 - at - i;
            float *scores = h->scores + i * h->tall;
            for (size_t k = j; k < j + KEYS && k < h->n; k++)
                scores[k] += h->key_scores[k * h->span + (size_t)entry[k]];
        }
}

static void draw_mask(const struct head *h, size_t query, size_t queries)
{
    if (h->a->mask)
        mask_block(h->bits, h->a->mask, query, queries, (uint32_t)(h->head << 16), h->mask_row);
}

static const uint8_t *bits_of(const struct head *h, size_t i)
{
    return h->a->mask ? h->bits + i * h->mask_row : NULL;
}

/* Weights in place of n scores, not divided by their sum; returns what the product with the values is to be multiplied by. */
static float soften(const struct head *h, float *s, const uint8_t *bits, size_t query)
{
    vector most = splat(-INFINITY), total = splat(0), factor = splat(h->scale * LOG2E);
    size_t span = up(h->n, LANES);
    for (size_t j = 0; j < span; j += LANES)
        most = maximum(most, load(s + j));
    float top = maximum_lane(most);
    vector shift = splat(-top) * factor;
    for (size_t j = 0; j < span; j += LANES) {
        vector e = exp2_of(multiply_add(load(s + j), factor, shift));
        total += e;
        store(s + j, bits ? mask_keep(bits, j, e) : e);
    }
    float sum = sum_lanes(total);
    h->a->log_sum[h->head * h->a->N + query] = top * h->scale + logf(sum);
    return h->kept / sum;
}

static void put(act *to, const float *from, size_t D, float factor)
{
    for (size_t c = 0; c < D; c += LANES)
        act_store_most(to + c, load_most(from + c, D - c) * splat(factor), D - c);
}

static float dot(const act *a, const act *b, size_t D)
{
    vector sum = splat(0);
    for (size_t c = 0; c < D; c += LANES)
        sum = multiply_add(act_load_most(a + c, D - c), act_load_most(b + c, D - c), sum);
    return sum_lanes(sum);
}

/* to (wide) += factor from. */
static void add_scaled(float *to, const act *from, size_t D, float factor)
{
    for (size_t c = 0; c < D; c += LANES)
        store_most(to + c, multiply_add(act_load_most(from + c, D - c), splat(factor), load_most(to + c, D - c)), D - c);
}

/* In place of scores and products: weights with the factor of dropout, and slopes of the scores, as in attention.c. */
static void slopes_of(const struct head *h, float *scores, float *products, const uint8_t *bits, size_t query, float delta)
{
    vector shift = splat((h->log_kept - h->a->log_sum[h->head * h->a->N + query]) * LOG2E), factor = splat(h->scale * LOG2E);
    vector less = splat(delta / h->kept);
    for (size_t j = 0; j < up(h->n, LANES); j += LANES) {
        vector p = exp2_of(multiply_add(load(scores + j), factor, shift)), d = load(products + j);
        store(scores + j, bits ? mask_keep(bits, j, p) : p);
        store(products + j, p * ((bits ? mask_keep(bits, j, d) : d) - less));
    }
}

static void forward_block(struct head *h, size_t at, size_t queries)
{
    const struct attention *a = h->a;
    size_t q = h->first + at;
    float factors[QUERIES];
    score(h, at, queries);
    draw_mask(h, q, queries);
    for (size_t i = 0; i < queries; i++)
        factors[i] = soften(h, h->scores + i * h->tall, bits_of(h, i), q + i);
    multiply_into(h->result, h->wide, h->scores, h->tall, 1, h->values, h->wide, h->n, queries, h->wide, 0);
    for (size_t i = 0; i < queries; i++)
        put(result_of(h, a->y, h->C, q + i), h->result + i * h->wide, h->D, factors[i]);
}

/* The slopes of a block, by distance: what comes to the queries, and to the distances' keys and queries. */
static void backward_distances(struct head *h, size_t at, size_t queries)
{
    if (h->r->keys) {
        memset(h->query_slopes, 0, queries * h->span * sizeof(float));
        for (size_t i = 0; i < queries; i++) {
            struct line l = line_of(h, at + i);
            give_line(h->query_slopes + i * h->span, h->products + i * h->tall, &l, h->n);
        }
        multiply_into(h->result, h->wide, h->query_slopes, h->span, 1, h->of_keys, h->wide, h->R, queries, h->wide, 1);
        multiply_into(h->dof_keys, h->wide, h->query_slopes, 1, h->span, h->queries, h->wide, queries, h->R, h->wide, 1);
    }
    for (size_t j = 0; j < h->n && h->r->queries; j += KEYS)
        for (size_t i = 0; i < queries; i++) {
            const int32_t *entry = h->entry + h->n - 1 - at - i;
            const float *slopes = h->products + i * h->tall;
            for (size_t k = j; k < j + KEYS && k < h->n; k++)
                h->key_slopes[k * h->span + (size_t)entry[k]] += slopes[k];
        }
}

static void backward_block(struct head *h, size_t at, size_t queries)
{
    const struct attention *a = h->a;
    size_t q = h->first + at;
    score(h, at, queries);
    pack(h, h->outputs, part_of(h, a->dy, h->C, q), (ptrdiff_t)h->C, queries, queries);
    multiply_into(h->products, h->tall, h->outputs, h->wide, 1, h->values_across, h->tall, h->D, queries, h->n, 0);
    draw_mask(h, q, queries);
    for (size_t i = 0; i < queries; i++)
        h->deltas[i] = dot(part_of(h, a->dy, h->C, q + i), part_of(h, a->y, h->C, q + i), h->D);
    for (size_t i = 0; i < queries; i++)
        slopes_of(h, h->scores + i * h->tall, h->products + i * h->tall, bits_of(h, i), q + i, h->deltas[i]);
    multiply_into(h->result, h->wide, h->products, h->tall, 1, h->keys, h->wide, h->n, queries, h->wide, 0);
    multiply_into(h->dvalues, h->wide, h->scores, 1, h->tall, h->outputs, h->wide, queries, h->n, h->wide, 1);
    multiply_into(h->dkeys, h->wide, h->products, 1, h->tall, h->queries, h->wide, queries, h->n, h->wide, 1);
    backward_distances(h, at, queries);
    for (size_t i = 0; i < queries; i++)
        put(result_of(h, a->dq, a->q_stride, q + i), h->result + i * h->wide, h->D, h->scale);
}

/* What the row adds to the gradient of one head's distances, (S,wide). */
static void add_distances(const struct head *h, float *to, const float *from)
{
    for (size_t i = 0; i < h->R; i++, from += h->wide)
        for (size_t c = 0; c < h->wide; c += LANES) {
            float *at = to + (h->high - i) * h->wide + c;
            store(at, multiply_add(load(from + c), splat(h->scale), load(at)));
        }
}

static void backward_all(struct head *h, float *dkeys, float *dqueries)
{
    const struct attention *a = h->a;
    size_t rows = up(h->n, LANES) * h->wide, distances = up(h->R, LANES) * h->wide;
    prepare(h);
    across(h, h->values_across, h->tall, h->values, h->n);
    memset(h->dkeys, 0, rows * sizeof(float));
    memset(h->dvalues, 0, rows * sizeof(float));
    memset(h->dof_keys, 0, distances * sizeof(float));
    memset(h->key_slopes, 0, h->n * h->span * sizeof(float));
    for (size_t at = 0; at < h->n; at += QUERIES)
        backward_block(h, at, h->n - at < QUERIES ? h->n - at : QUERIES);
    if (h->r->queries) {
        multiply_into(h->dkeys, h->wide, h->key_slopes, h->span, 1, h->of_queries, h->wide, h->R, h->n, h->wide, 1);
        multiply_into(h->dof_queries, h->wide, h->key_slopes, 1, h->span, h->keys, h->wide, h->n, h->R, h->wide, 0);
        add_distances(h, dqueries, h->dof_queries);
    }
    if (h->r->keys)
        add_distances(h, dkeys, h->dof_keys);
    for (size_t i = 0; i < h->n; i++) {
        put(result_of(h, a->dk, a->kv_stride, h->first + i), h->dkeys + i * h->wide, h->D, h->scale);
        put(result_of(h, a->dv, a->kv_stride, h->first + i), h->dvalues + i * h->wide, h->D, 1);
    }
}

/* Of a row's first token as the only query: key by key. */
struct first_key {
    const act *k, *v, *of_key, *of_query; /* the last two: or NULL */
    size_t place;
};

static struct first_key first_key_at(const struct head *h, size_t j)
{
    const struct relative_attention *r = h->r;
    size_t place = place_of(r, -(ptrdiff_t)j), stride = h->a->kv_stride;
    return (struct first_key){part_of(h, h->a->k, stride, h->first + j), part_of(h, h->a->v, stride, h->first + j),
                              r->keys ? part_of(h, r->keys, r->stride, place) : NULL,
                              r->queries ? part_of(h, r->queries, r->stride, place) : NULL, place};
}

static void score_first(struct head *h, const act *q)
{
    for (size_t j = 0; j < h->n; j++) {
        struct first_key at = first_key_at(h, j);
        h->scores[j] = dot(q, at.k, h->D);
        if (at.of_key)
            h->scores[j] += dot(q, at.of_key, h->D);
        if (at.of_query)
            h->scores[j] += dot(at.k, at.of_query, h->D);
    }
    for (size_t j = h->n; j < h->tall; j++)
        h->scores[j] = -INFINITY;
}

static void forward_first(struct head *h, size_t row)
{
    const struct attention *a = h->a;
    score_first(h, part_of(h, a->q, a->q_stride, row));
    draw_mask(h, row, 1);
    float factor = soften(h, h->scores, bits_of(h, 0), row);
    memset(h->result, 0, h->wide * sizeof(float));
    for (size_t j = 0; j < h->n; j++)
        add_scaled(h->result, part_of(h, a->v, a->kv_stride, h->first + j), h->D, h->scores[j]);
    put(result_of(h, a->y, h->C, row), h->result, h->D, factor);
}

static void backward_first(struct head *h, size_t row, float *dkeys, float *dqueries)
{
    const struct attention *a = h->a;
    const act *q = part_of(h, a->q, a->q_stride, row), *dy = part_of(h, a->dy, h->C, row);
    score_first(h, q);
    for (size_t j = 0; j < h->tall; j++)
        h->products[j] = j < h->n ? dot(dy, part_of(h, a->v, a->kv_stride, h->first + j), h->D) : 0;
    draw_mask(h, row, 1);
    slopes_of(h, h->scores, h->products, bits_of(h, 0), row, dot(dy, part_of(h, a->y, h->C, row), h->D));
    memset(h->result, 0, h->wide * sizeof(float));
    for (size_t j = 0; j < h->n; j++) {
        struct first_key at = first_key_at(h, j);
        float slope = h->products[j];
        memset(h->dkeys, 0, h->wide * sizeof(float));
        memset(h->dvalues, 0, h->wide * sizeof(float));
        add_scaled(h->result, at.k, h->D, slope);
        add_scaled(h->dkeys, q, h->D, slope);
        add_scaled(h->dvalues, dy, h->D, h->scores[j]);
        if (at.of_key) {
            add_scaled(h->result, at.of_key, h->D, slope);
            add_scaled(dkeys + at.place * h->wide, q, h->D, slope * h->scale);
        }
        if (at.of_query) {
            add_scaled(h->dkeys, at.of_query, h->D, slope);
            add_scaled(dqueries + at.place * h->wide, at.k, h->D, slope * h->scale);
        }
        put(result_of(h, a->dk, a->kv_stride, h->first + j), h->dkeys, h->D, h->scale);
        put(result_of(h, a->dv, a->kv_stride, h->first + j), h->dvalues, h->D, 1);
    }
    put(result_of(h, a->dq, a->q_stride, row), h->result, h->D, h->scale);
}

void KERNEL(relative_forward)(const struct relative_attention *r, size_t row, size_t head, void *scratch)
{
    struct head h = head_open(r, row, head, scratch);
    if (r->attention.first_only) {
        forward_first(&h, row);
        return;
    }
    prepare(&h);
    for (size_t at = 0; at < h.n; at += QUERIES)
        forward_block(&h, at, h.n - at < QUERIES ? h.n - at : QUERIES);
}

void KERNEL(relative_backward)(const struct relative_attention *r, size_t row, size_t head, float *dkeys, float *dqueries,
                               void *scratch)
{
    struct head h = head_open(r, row, head, scratch);
    if (r->attention.first_only)
        backward_first(&h, row, dkeys, dqueries);
    else
        backward_all(&h, dkeys, dqueries);
}
