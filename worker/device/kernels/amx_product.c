/* SPDX-License-Identifier: Apache-2.0 */
/* Owns matrix products of bf16 on the tiles of AMX. What is multiplied lies in blocks of 32 columns (or rows) with all of their
 * depth, in steps of 32: two tiles a step, one behind the other, 2 KB; behind the last column, row or depth there are zeros. A
 * factor whose rows hold its depth is read where it stands; others are packed so. Four sums of a block of 32 x 32 stay in tiles
 * over all of its depth, in order of depth: what a sum is does not depend on how a product is cut. */
#include "worker/device/kernels/amx.h"
#include "worker/device/kernels/names.h"
#include "worker/device/kernels/transpose.h"

#ifdef HAS_AMX

#define BLOCK AMX_BLOCK
#define STEP_BYTES 2048
#define TILE_BYTES 1024
#define CHUNK 48                 /* steps that a row of blocks takes at once; more would not stay in the near caches */
#define PANEL_BYTES (384 * 1024) /* of a chunk's packed columns, which stay in the second cache while rows go by */

static size_t steps_of(size_t depth)
{
    return (depth + BLOCK - 1) / BLOCK;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t KERNEL(amx_packed)(size_t columns, size_t depth)
{
    return (columns + BLOCK - 1) / BLOCK * steps_of(depth) * STEP_BYTES;
}

size_t KERNEL(amx_panel)(size_t depth)
{
    size_t steps = least(steps_of(depth), CHUNK);
    return steps ? PANEL_BYTES / (steps * STEP_BYTES) * BLOCK : BLOCK;
}

/* Rows made whole, then sums that wait for their next chunk. */
static size_t whole_bytes(size_t depth)
{
    return steps_of(depth) * BLOCK * BLOCK * sizeof(bf16);
}

size_t KERNEL(amx_scratch)(size_t rows, size_t columns, size_t depth)
{
    size_t blocks = steps_of(depth) > CHUNK ? (rows + BLOCK - 1) / BLOCK * ((columns + BLOCK - 1) / BLOCK) : 0;
    return whole_bytes(depth) + blocks * BLOCK * BLOCK * sizeof(float);
}

/* ---- packing: a tile's 16 rows of 16 pairs ---- */

/* words[i][j] = words[j][i] */
INLINE void turn(void *to, const void *from, size_t from_row)
{
    for (size_t i = 0; i < AMX_ROWS; i += LANES)
        for (size_t j = 0; j < AMX_ROWS; j += LANES)
            transpose_square((word *)to + j * AMX_ROWS + i, AMX_ROWS, (const word *)from + i * from_row + j, from_row);
}

/* Pairs of neighbours in depth, which rows of `from` hold: 16 rows of 32, or as many as there are. */
static void tile_across(void *to, const bf16 *from, size_t stride, size_t rows, size_t depth)
{
    bf16 part[AMX_ROWS][BLOCK];
    if (rows >= AMX_ROWS && depth >= BLOCK && stride % 2 == 0 && (uintptr_t)from % sizeof(word) == 0) {
        turn(to, from, stride / 2);
        return;
    }
    memset(part, 0, sizeof part);
    for (size_t i = 0; i < least(rows, AMX_ROWS); i++)
        memcpy(part[i], from + i * stride, least(depth, BLOCK) * sizeof **part);
    turn(to, part, BLOCK / 2);
}

/* Pairs of neighbours in depth, which columns of `from` hold: 32 rows of 16, or as many as there are. */
static void tile_down(void *to, const bf16 *from, size_t stride, size_t columns, size_t depth)
{
    bf16 part[BLOCK][AMX_ROWS];
    word *pairs = to;
    if (columns < AMX_ROWS || depth < BLOCK) {
        memset(part, 0, sizeof part);
        for (size_t k = 0; k < least(depth, BLOCK); k++)
            memcpy(part[k], from + k * stride, least(columns, AMX_ROWS) * sizeof **part);
        from = part[0];
        stride = AMX_ROWS;
    }
    for (size_t k = 0; k < BLOCK; k += 2, from += 2 * stride, pairs += AMX_ROWS)
        for (size_t n = 0; n < AMX_ROWS; n += LANES)
            *(bits_unaligned *)(pairs + n) =
                half_pairs(*(const half_unaligned *)(from + n), *(const half_unaligned *)(from + stride + n));
}

static void tile_turned(void *to, const bf16 *from, size_t stride, size_t rows, size_t depth)
{
    word pairs[AMX_ROWS][AMX_ROWS];
    tile_down(pairs, from, stride, rows, depth);
    turn(to, pairs, AMX_ROWS);
}

static size_t behind(size_t all, size_t from)
{
    return all > from ? all - from : 0;
}

INLINE void pack(const struct amx_packing *p, size_t from, size_t to,
                 void (*tile)(void *to, const bf16 *from, size_t stride, size_t columns, size_t depth), bool across)
{
    size_t steps = steps_of(p->depth);
    for (size_t block = from; block < to; block++)
        for (size_t step = 0; step < steps; step++)
            for (size_t half = 0; half < 2; half++) {
                size_t column = block * BLOCK + half * AMX_ROWS, k = step * BLOCK, columns = behind(p->columns, column);
                const bf16 *at = (const bf16 *)p->from + (columns ? across ? column * p->stride + k : k * p->stride + column : 0);
                tile((char *)p->to + (block * steps + step) * STEP_BYTES + half * TILE_BYTES, at, p->stride, columns,
                     p->depth - k);
            }
}

void KERNEL(amx_pack_across)(const struct amx_packing *p, size_t from, size_t to)
{
    pack(p, from, to, tile_across, true);
}

void KERNEL(amx_pack_down)(const struct amx_packing *p, size_t from, size_t to)
{
    pack(p, from, to, tile_down, false);
}

void KERNEL(amx_pack_turned)(const struct amx_packing *p, size_t from, size_t to)
{
    pack(p, from, to, tile_turned, false);
}

/* ---- products ---- */

/* 32 rows: where their first tile stands, how far its rows, the next step and the second tile are. */
struct rows {
    const char *at;
    size_t row, step, second;
};

/* Rows from `row` on, whole: in place, or a copy with zeros behind them. */
static struct rows rows_of(const struct amx_product *p, size_t row)
{
    size_t steps = steps_of(p->depth), rows = least(p->rows - row, BLOCK), wide = steps * BLOCK;
    const bf16 *from = (const bf16 *)p->a + row * p->a_stride;
    if (p->a_packed)
        return (struct rows){(const char *)p->a + row * steps * BLOCK * sizeof(bf16), AMX_BYTES, STEP_BYTES, TILE_BYTES};
    if (rows == BLOCK && wide == p->depth)
        return (struct rows){(const char *)from, p->a_stride * sizeof(bf16), AMX_BYTES, AMX_ROWS * p->a_stride * sizeof(bf16)};
    bf16 *copy = p->scratch;
    memset(copy, 0, wide * BLOCK * sizeof *copy);
    for (size_t i = 0; i < rows; i++)
        memcpy(copy + i * wide, from + i * p->a_stride, p->depth * sizeof *copy);
    return (struct rows){p->scratch, wide * sizeof *copy, AMX_BYTES, AMX_ROWS * wide * sizeof *copy};
}

/* c (32, 32), rows `stride` floats apart, = or += the product with packed columns. */
INLINE void multiply_block(float *c, size_t stride, struct rows a, const char *b, size_t steps, bool add)
{
    amx_multiply(&(struct amx_block){.c = c,
                                     .c_row = stride * sizeof *c,
                                     .a = a.at,
                                     .a_row = a.row,
                                     .a_step = a.step,
                                     .a_second = a.second,
                                     .b = b,
                                     .b_row = AMX_BYTES,
                                     .b_step = STEP_BYTES,
                                     .b_second = TILE_BYTES,
                                     .steps = steps},
                 add, true, true, true); /* the rows are what stays in the nearest cache */
}

/* A block that is whole to where it belongs. */
static void put_block(const struct amx_product *p, const float *block, size_t row, size_t column)
{
    size_t rows = least(p->rows - row, BLOCK), columns = least(p->columns - column, BLOCK);
    if (!p->c)
        p->finish(p->context, block, p->first_row + row, p->first_column + column, rows, columns);
    for (size_t i = 0; p->c && i < rows; i++)
        memcpy(p->c + (row + i) * p->c_stride + column, block + i * BLOCK, columns * sizeof *p->c);
}

/* One chunk of steps `from` to `to` of a row of blocks. sums: its blocks, where there are more chunks than one. */
static void multiply_row(const struct amx_product *p, size_t row, size_t from, size_t to, float *sums)
{
    float block[BLOCK * BLOCK] __attribute__((aligned(64)));
    size_t steps = steps_of(p->depth);
    struct rows a = rows_of(p, row);
    a.at += from * a.step;
    for (size_t column = 0; column < p->columns; column += BLOCK) {
        const char *b = (const char *)p->b + (column / BLOCK * steps + from) * STEP_BYTES;
        float *c = sums ? sums + column * BLOCK : block;
        if (!sums && p->c && p->rows - row >= BLOCK && p->columns - column >= BLOCK) {
            multiply_block(p->c + row * p->c_stride + column, p->c_stride, a, b, to - from, false);
            continue;
        }
        multiply_block(c, BLOCK, a, b, to - from, from > 0);
        if (to == steps)
            put_block(p, c, row, column);
    }
}

void KERNEL(amx_product)(const struct amx_product *p)
{
    size_t steps = steps_of(p->depth), wide = (p->columns + BLOCK - 1) / BLOCK * BLOCK, from = 0;
    float *sums = steps > CHUNK ? (float *)((char *)p->scratch + whole_bytes(p->depth)) : NULL;
    amx_begin();
    do {
        size_t to = least(steps, from + CHUNK);
        for (size_t row = 0; row < p->rows; row += BLOCK)
            multiply_row(p, row, from, to, sums ? sums + row * wide : NULL);
        from = to;
    } while (from < steps);
    amx_end();
}

#endif
