/* SPDX-License-Identifier: Apache-2.0 */
/* Owns how linear maps are divided among the cpu device's threads. Each thread has a tile of the result: it multiplies by itself
 * and, while the product is in its caches, adds bias, applies the activation, rounds. One parallel region an operation: threads
 * meet once. */
#include "worker/device/cpu_matmul.h"
#include "worker/device/cpu_share.h"

#include <omp.h>
#include <string.h>

#define PANEL_ROWS 512    /* of a product before it is rounded to bf16: with fewer, products get slower; with more, memory */
#define TILE_ROWS_MIN 256 /* with fewer, a thread spends its time on packing the other factor */

struct grid {
    size_t row_parts, column_parts;
};

/* Rows are split first; columns too where rows are too few for so many threads. */
static struct grid grid_of(const struct cpu *c, size_t rows)
{
    size_t threads = (size_t)c->base.threads, columns = 1;
    while (threads % (2 * columns) == 0 && rows / (threads / columns) < TILE_ROWS_MIN)
        columns *= 2;
    return (struct grid){threads / columns, columns};
}

static struct tile tile_of(struct grid g, size_t i, size_t rows, size_t columns)
{
    return (struct tile){share_of(rows, i / g.column_parts, g.row_parts, 16),
                         share_of(columns, i % g.column_parts, g.column_parts, 64)};
}

/* An act matrix as products take it: itself, or widened to float. */
struct factor {
    const char *data;
    size_t element; /* bytes */
};

static const void *factor_at(struct factor f, size_t i)
{
    return f.data + i * f.element;
}

static struct factor factor_open(struct cpu *c, device_memory m, size_t n, int use)
{
    if (c->base.precision == PRECISION_F32)
        return (struct factor){host_pointer(m), sizeof(float)};
    if (matmul_takes_bf16(c->matmul))
        return (struct factor){host_pointer(m), sizeof(bf16)};
    float *wide = cpu_scratch(c, use, (n + 1) * sizeof *wide);
    size_t parts = (size_t)c->base.threads;
#pragma omp parallel for num_threads(c->base.threads) schedule(static)
    for (size_t i = 0; i < parts; i++) {
        struct share s = share_of(n, i, parts, 64);
        if (wide)
            c->kernels->widen(wide + s.from, (const bf16 *)host_pointer(m) + s.from, s.count);
    }
    return (struct factor){(const char *)wide, sizeof(float)};
}

/* Where parts put the products of their panels; no memory in f32, where products are made where they stay. */
struct panels {
    float *memory;
    size_t part; /* elements */
};

static struct panels panels_open(struct cpu *c, struct grid g, size_t rows, size_t columns)
{
    struct panels ret = {0};
    if (c->base.precision == PRECISION_F32)
        return ret;
    size_t most = rows / g.row_parts + 32; /* of a tile: share_of's grain is 16 */
    ret.part = (most < PANEL_ROWS ? most : PANEL_ROWS) * (columns / g.column_parts + 128);
    ret.memory = cpu_scratch(c, SCRATCH_PRODUCT, (size_t)c->base.threads * ret.part * sizeof *ret.memory);
    return ret;
}

static float *panel_of(struct panels p, size_t part)
{
    return p.memory ? p.memory + part * p.part : NULL;
}

static size_t panel_count(const struct cpu *c, size_t rows)
{
    return c->base.precision == PRECISION_F32 ? rows > 0 : (rows + PANEL_ROWS - 1) / PANEL_ROWS;
}

static void settle(struct cpu *c, int failed)
{
    if (failed)
        cpu_fail(c, "device cpu: oneDNN refuses a matrix product (status %d); set train.precision to f32", failed);
}

struct forward {
    struct factor x, w;
    device_memory y, pre;
    const float *bias;
    enum activation activation;
    struct panels panels;
    size_t N, K, O;
};

/* Runs `panel` on each panel of the tile's rows. */
static int run_panels(struct cpu *c,
                      int (*panel)(struct cpu *c, const void *work, struct share rows, struct share columns, size_t part),
                      const void *work, struct tile t, size_t part)
{
    size_t panels = panel_count(c, t.rows.count);
    int failed = 0;
    for (size_t i = 0; i < panels && !failed; i++) {
        struct share rows = share_of(t.rows.count, i, panels, 1);
        rows.from += t.rows.from;
        failed = panel(c, work, rows, t.columns, part);
    }
    return failed;
}

static int forward_panel(struct cpu *c, const void *work, struct share rows, struct share columns, size_t part)
{
    const struct forward *f = work;
    size_t at = rows.from * f->O + columns.from;
    struct epilogue e = {.y = act_at(c, f->y, at),
                         .pre = act_at(c, f->pre, at),
                         .bias = f->bias ? f->bias + columns.from : NULL,
                         .activation = f->activation,
                         .rows = rows.count,
                         .columns = columns.count,
                         .stride = f->O};
    float *panel = panel_of(f->panels, part), *product = panel ? panel : e.pre ? e.pre : e.y;
    e.product = product;
    e.product_stride = panel ? columns.count : f->O;
    int failed = matmul_run(c->matmul, part,
                            &(struct matrix_product){.kind = PRODUCT_FORWARD,
                                                     .a = factor_at(f->x, rows.from * f->K),
                                                     .b = factor_at(f->w, columns.from * f->K),
                                                     .c = product,
                                                     .a_stride = f->K,
                                                     .b_stride = f->K,
                                                     .c_stride = e.product_stride,
                                                     .M = rows.count,
                                                     .N = columns.count,
                                                     .K = f->K,
                                                     .rows_alone = c->base.rows_alone});
    if (!failed)
        c->kernels->bias_activation(&e);
    return failed;
}

void cpu_linear_forward(struct device *d, device_memory y, device_memory pre, device_memory x, device_memory w,
                        device_memory bias, enum activation activation, size_t N, size_t K, size_t O)
{
    struct cpu *c = cpu_of(d);
    if (c->kernels->amx_product) {
        cpu_amx_forward(c, y, pre, x, w, bias, activation, N, K, O);
        return;
    }
    struct forward f = {.y = y, .pre = pre, .bias = host_f32(bias), .activation = activation, .N = N, .K = K, .O = O};
    f.x = factor_open(c, x, N * K, SCRATCH_WIDE_A);
    f.w = factor_open(c, w, O * K, SCRATCH_WIDE_B);
    struct grid grid = grid_of(c, N);
    f.panels = panels_open(c, grid, N, O);
    if (c->failure.kind != ERROR_NONE)
        return;
    int failed = 0;
    d->flops += 2.0 * (double)N * (double)K * (double)O;
    omp_set_num_threads(d->threads); /* what oneDNN goes by where a team is of one */
#pragma omp parallel for num_threads(d->threads) schedule(static) reduction(| : failed)
    for (size_t i = 0; i < grid.row_parts * grid.column_parts; i++)
        failed |= run_panels(c, forward_panel, &f, tile_of(grid, i, N, O), i);
    settle(c, failed);
}

struct backward {
    struct factor dy, x, w;
    device_memory dx, dy_stored;
    float *dw, *dbias;
    struct panels panels;
    bool add;
    size_t N, K, O;
};

static int input_panel(struct cpu *c, const void *work, struct share rows, struct share columns, size_t part)
{
    const struct backward *b = work;
    size_t at = rows.from * b->K + columns.from;
    float *panel = panel_of(b->panels, part), *product = panel ? panel : host_f32(b->dx) + at;
    size_t stride = panel ? columns.count : b->K;
    int failed = matmul_run(c->matmul, part,
                            &(struct matrix_product){.kind = PRODUCT_INPUT,
                                                     .a = factor_at(b->dy, rows.from * b->O),
                                                     .b = factor_at(b->w, columns.from),
                                                     .c = product,
                                                     .a_stride = b->O,
                                                     .b_stride = b->K,
                                                     .c_stride = stride,
                                                     .M = rows.count,
                                                     .N = columns.count,
                                                     .K = b->O,
                                                     .add = b->add && !panel});
    for (size_t i = 0; panel && !failed && i < rows.count; i++)
        c->kernels->store_product(act_at(c, b->dx, at + i * b->K), product + i * stride, b->add, columns.count);
    return failed;
}

static int weight_tile(struct cpu *c, const struct backward *b, struct tile t, size_t part)
{
    return matmul_run(c->matmul, part,
                      &(struct matrix_product){.kind = PRODUCT_WEIGHT,
                                               .a = factor_at(b->dy, t.rows.from),
                                               .b = factor_at(b->x, t.columns.from),
                                               .c = b->dw + t.rows.from * b->K + t.columns.from,
                                               .a_stride = b->O,
                                               .b_stride = b->K,
                                               .c_stride = b->K,
                                               .M = t.rows.count,
                                               .N = t.columns.count,
                                               .K = b->N});
}

static int backward_part(struct cpu *c, const struct backward *b, size_t part)
{
    struct share bias = share_of(b->O, part, (size_t)c->base.threads, 32);
    if (b->dbias)
        c->kernels->column_sums(b->dbias, host_pointer(b->dy_stored), b->N, b->O, bias.from, bias.from + bias.count);
    int failed = b->dx.address ? run_panels(c, input_panel, b, tile_of(grid_of(c, b->N), part, b->N, b->K), part) : 0;
    return failed || !b->dw ? failed : weight_tile(c, b, tile_of(grid_of(c, b->O), part, b->O, b->K), part);
}

void cpu_linear_backward(struct device *d, device_memory dx, device_memory dw, device_memory dbias, device_memory dy,
                         device_memory x, device_memory w, int add_dx, size_t N, size_t K, size_t O)
{
    struct cpu *c = cpu_of(d);
    if (c->kernels->amx_product) {
        cpu_amx_backward(c, dx, dw, dbias, dy, x, w, add_dx, N, K, O);
        return;
    }
    struct backward b = {
        .dx = dx, .dy_stored = dy, .dw = host_f32(dw), .dbias = host_f32(dbias), .add = add_dx, .N = N, .K = K, .O = O};
    b.dy = factor_open(c, dy, N * O, SCRATCH_WIDE_A);
    b.x = factor_open(c, x, N * K, SCRATCH_WIDE_B);
    b.w = factor_open(c, w, O * K, SCRATCH_WIDE_C);
    b.panels = panels_open(c, grid_of(c, N), N, K);
    if (c->failure.kind != ERROR_NONE)
        return;
    int failed = 0;
    d->flops += ((dx.address ? 2.0 : 0) + (dw.address ? 2.0 : 0)) * (double)N * (double)K * (double)O;
    omp_set_num_threads(d->threads);
#pragma omp parallel for num_threads(d->threads) schedule(static) reduction(| : failed)
    for (size_t i = 0; i < (size_t)d->threads; i++)
        failed |= backward_part(c, &b, i);
    settle(c, failed);
}
