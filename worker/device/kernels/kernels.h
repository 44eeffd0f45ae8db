/* SPDX-License-Identifier: Apache-2.0 */
/* The inner loops of the cpu device. They are compiled once for each instruction set and act type (room.cmake), one thread
 * each; who calls them divides the work. Sources see ISA and ACT_IS_BF16; KERNEL(x) is x with both in its name. */
#pragma once

#include "worker/device/operands.h"

#include <stdbool.h>
#include <stdint.h>

#define KERNEL_WIDTH_MAX 65536 /* of a vector that is normalised or dropped from: C */

/* Dropout made ready: the key of philox.h's RANDOM_DROPOUT but for what belongs to a vector. */
struct mask {
    uint64_t seed;
    uint32_t epoch_site, bound;
    float scale;
    const int32_t *rows, *positions;
};

/* One call's attention. N queries: all tokens, or the first of each row. mask: of the queries; NULL without dropout. */
struct attention {
    const void *q, *k, *v;
    void *y; /* forward: written; backward: read */
    const void *dy;
    void *dq, *dk, *dv;
    float *log_sum;
    const int32_t *offsets;
    const struct mask *mask;
    size_t q_stride, kv_stride; /* elements; of their gradients too */
    size_t N, H, D;
    bool first_only;
    struct attention_window window; /* zeros: all keys of the row */
};

#define RELATIVE_WIDE(D) (((D) + 15) / 16 * 16)

/* One call's attention with a bias by distance (device.h: relative_bias); without a window. */
struct relative_attention {
    struct attention attention;
    const void *keys, *queries; /* or NULL */
    const int32_t *places;
    size_t stride, S, reach;
};

/* One call's attention of first tokens to x w^T + bias (device.h: projected_attention). dy: NULL in the forward. */
struct projected_attention {
    const void *q, *x, *w, *dy;
    const float *bias; /* or NULL */
    void *y, *dq, *dx;
    float *log_sum, *dw, *dbias; /* dw, dbias: or NULL */
    const int32_t *offsets;
    const struct mask *mask;
    size_t B, T, H, D;
    /* Made on the way. Of each head of a row, (B,H,C): what x is multiplied by for its score, and for its part in the gradient of
     * the output; sums of x by weights, and by slopes. (H,T): scores, then weights; slopes. kept (B,H): sums of weights. */
    float *keys, *outputs, *values, *turns, *scores, *slopes, *kept;
};

struct layer_norm {
    void *y, *sum;
    float *statistics;
    const float *gamma, *beta; /* beta: or NULL */
    float epsilon;
    const struct mask *mask;
    size_t C;
};

struct norm_gradient {
    void *dx, *dz;
    const void *dy, *sum;
    const float *statistics, *gamma;
    const struct mask *before; /* dropout of z, in front of the norm */
    const struct mask *behind; /* dropout of the norm's output */
    size_t C;
    bool add; /* dx: += */
};

/* pre = product + bias; y = activation(pre), for a tile of a linear map. */
struct epilogue {
    void *y, *pre;        /* act; rows `stride` apart. pre may be NULL, or y where there is no activation */
    const float *product; /* rows `product_stride` apart; may be y or pre where act is float */
    const float *bias;    /* or NULL */
    enum activation activation;
    size_t rows, columns, stride, product_stride;
};

#define FEW_ROWS_DEPTH 256

/* c (rows,columns) = or += x w^T: each sum from zero in order of depth, a fused multiply-add a step, and then added. */
struct few_rows {
    float *c;
    const float *x, *w;
    size_t c_stride, x_stride, w_stride;
    size_t rows, columns, depth; /* depth: at most FEW_ROWS_DEPTH */
    bool add;
};

#define AMX_BLOCK 32 /* rows and columns of a product on tiles that are made at once */

/* A factor of a product on tiles, made ready: `columns` by `depth` of bf16. */
struct amx_packing {
    void *to; /* amx_packed bytes, 64-byte aligned */
    const void *from;
    size_t stride; /* elements, of rows of `from` */
    size_t columns, depth;
};

/* Takes a block, its rows AMX_BLOCK floats apart, to rows row.. and columns column.. of the result. */
typedef void (*amx_finish)(const void *context, const float *block, size_t row, size_t column, size_t rows, size_t columns);

/* A product on tiles, (rows,columns) = a b. */
struct amx_product {
    const void *a; /* rows that hold their depth, a_stride elements apart; or packed */
    const void *b; /* packed */
    float *c;      /* rows c_stride apart; or NULL: */
    amx_finish finish;
    const void *context;
    size_t first_row, first_column; /* of the result, as finish counts them */
    void *scratch;                  /* amx_scratch bytes, this call's own */
    size_t rows, columns, depth, a_stride, c_stride;
    bool a_packed;
};

struct kernels {
    const char *isa; /* as MUSTER_ISA names it */
    const char *description;
    enum precision precision;

    void (*few_rows)(const struct few_rows *p);

    /* Products of bf16 on tiles; NULL where the instruction set has none. Blocks from..to-1 of AMX_BLOCK columns are packed, of a
     * matrix whose rows are the columns (across) or hold them (down); turned: a factor a whose columns are its rows. */
    size_t (*amx_packed)(size_t columns, size_t depth);
    size_t (*amx_panel)(size_t depth); /* columns of a product that is to be made at once, a multiple of AMX_BLOCK */
    size_t (*amx_scratch)(size_t rows, size_t columns, size_t depth);
    void (*amx_pack_across)(const struct amx_packing *p, size_t from, size_t to);
    void (*amx_pack_down)(const struct amx_packing *p, size_t from, size_t to);
    void (*amx_pack_turned)(const struct amx_packing *p, size_t from, size_t to);
    void (*amx_product)(const struct amx_product *p); /* each block is finished as soon as it is made */

    void (*bias_activation)(const struct epilogue *e);
    void (*activation_backward)(void *dpre, void *y, const void *dy, const void *pre, enum activation activation, size_t n);
    /* Of n tokens of F elements; dpre and y as device.h has them. */
    void (*gated_forward)(void *y, const void *pre, enum activation activation, size_t n, size_t F);
    void (*gated_backward)(void *dpre, void *y, const void *dy, const void *pre, enum activation activation, size_t n, size_t F);
    void (*store_scaled)(void *y, const void *x, float scale, int add, size_t n); /* y = or += scale x */
    void (*store_product)(void *y, const float *product, int add, size_t n);      /* y = or += product */
    void (*column_sums)(float *sums, const void *x, size_t rows, size_t columns, size_t from, size_t to);
    void (*widen)(float *y, const void *x, size_t n); /* act to float */
    void (*round)(void *y, const float *x, size_t n); /* float to act */
    void (*dropout)(void *y, const void *x, const struct mask *mask, int add /* y: = or += */, size_t from, size_t to, size_t C);

    /* Vectors from..to-1. z: or NULL. */
    void (*normalize)(const struct layer_norm *l, const void *x, const void *z, size_t from, size_t to);
    /* tables: NULL where the network has none. */
    void (*embed)(const struct layer_norm *l, const int32_t *const ids[3], const float *const tables[3], size_t from, size_t to);
    void (*normalize_backward)(const struct norm_gradient *g, float *dgamma /* += */, float *dbeta /* += */, size_t from,
                               size_t to);
    /* y[places[t]] += x[t] for channels from..to-1, tokens in order. */
    void (*scatter_add)(float *y, const void *x, const int32_t *places, size_t T, size_t C, size_t from, size_t to);

    /* Heads of one vector by its position's cosines, then sines, D / 2 of each; sign -1: backward. */
    void (*rotate)(void *x, const float *turn, float sign, size_t heads, size_t D);
    /* y = mean of n vectors; x = dy / n in each of them. */
    void (*mean)(void *y, const void *x, size_t n, size_t C, size_t from, size_t to);
    void (*mean_backward)(void *dx, const void *dy, size_t n, size_t C);

    size_t (*attention_scratch)(size_t n, size_t D, size_t half); /* bytes, for rows up to n */
    void (*attention_forward)(const struct attention *a, size_t row, size_t head, void *scratch);
    void (*attention_backward)(const struct attention *a, size_t row, size_t head, void *scratch);

    size_t (*relative_scratch)(const struct relative_attention *r, size_t n); /* bytes, for rows up to n */
    void (*relative_forward)(const struct relative_attention *r, size_t row, size_t head, void *scratch);
    /* dkeys, dqueries f32 (S, RELATIVE_WIDE(D)) +=: of this head alone. */
    void (*relative_backward)(const struct relative_attention *r, size_t row, size_t head, float *dkeys, float *dqueries,
                              void *scratch);

    /* In this order. from..to: tokens of the row; of gather, channels. */
    void (*projected_spread)(const struct projected_attention *p, size_t row, size_t head);
    void (*projected_score)(const struct projected_attention *p, size_t row, size_t from, size_t to);
    void (*projected_soften)(const struct projected_attention *p, size_t row, size_t head); /* forward */
    void (*projected_slope)(const struct projected_attention *p, size_t row, size_t head);  /* backward */
    void (*projected_gather)(const struct projected_attention *p, size_t row, size_t from, size_t to);
    void (*projected_output)(const struct projected_attention *p, size_t row, size_t head); /* forward */
    void (*projected_gradient)(const struct projected_attention *p, size_t head);           /* backward: all but dx */
    void (*projected_input)(const struct projected_attention *p, size_t row, size_t from, size_t to);

    void (*classifier)(float *logits, const void *x, const float *w, const float *bias, size_t B, size_t C, size_t L);
    void (*classifier_input)(void *dx, const float *dlogits, const float *w, size_t B, size_t C, size_t L);
    void (*classifier_weight)(float *dw, float *dbias, const float *dlogits, const void *x, size_t B, size_t C, size_t L);

    void (*add)(float *y, const float *x, size_t n);
    double (*sum_of_squares)(const float *x, size_t n);
    void (*adamw)(float *p, void *shadow, const float *g, float *m, float *v, const struct adamw *a, float scale,
                  size_t n); /* g NULL: zero */
    void (*scale)(float *p, float factor, size_t n);
};

/* The best of this machine, or of the instruction set named and those below it: one that has none for f32 leaves that to the next
 * (isa NULL: best; NULL is returned where it is not known or the machine lacks it). */
const struct kernels *kernels_find(enum precision precision, const char *isa);

#define KERNEL_NAME(name, isa, precision) name##_##isa##_##precision
#define KERNEL_EXPAND(name, isa, precision) KERNEL_NAME(name, isa, precision)
#define KERNEL(name) KERNEL_EXPAND(name, ISA, ACT)
