/* SPDX-License-Identifier: Apache-2.0 */
/* Owns linear maps in bf16 on the tiles of AMX. Threads pack together what all of them multiply by, meet, and take tasks; a
 * block of a result gets bias and activation, or is added and rounded, as it comes out of the tiles. */
#include "worker/device/cpu_share.h"

#include <omp.h>
#include <string.h>

static void pack_share(void (*pack)(const struct amx_packing *p, size_t from, size_t to), const struct amx_packing *p,
                       size_t part, size_t parts)
{
    struct share blocks = share_of((p->columns + AMX_BLOCK - 1) / AMX_BLOCK, part, parts, 1);
    pack(p, blocks.from, blocks.from + blocks.count);
}

/* What is made ready of (columns, depth); to: in scratch of this use. */
static struct amx_packing packing_open(struct cpu *c, int use, device_memory from, size_t stride, size_t columns, size_t depth)
{
    return (struct amx_packing){.to = cpu_scratch(c, use, c->kernels->amx_packed(columns, depth) + 1),
                                .from = host_pointer(from),
                                .stride = stride,
                                .columns = columns,
                                .depth = depth};
}

/* Packed blocks from column `column` on, a multiple of AMX_BLOCK. */
static const void *packed_at(const struct cpu *c, const struct amx_packing *p, size_t column)
{
    return (const char *)p->to + c->kernels->amx_packed(column, p->depth);
}

/* A result in tasks, for whoever is free: one panel of columns after the other, as all threads work on it while it is in the
 * second cache, and of a panel some rows at a time. */
struct tasks {
    size_t rows, columns, deep /* rows of a task */, wide /* its columns */, panels, count;
};

#define ROWS_MOST 128 /* of a task: four times as many as threads need to end together in a batch of 1,000 tokens */

static struct tasks tasks_of(const struct cpu *c, size_t rows, size_t columns, size_t depth)
{
    size_t threads = (size_t)c->base.threads, wide = c->kernels->amx_panel(depth), deep = ROWS_MOST;
    while (deep > AMX_BLOCK && rows / deep < 4 * threads)
        deep -= AMX_BLOCK;
    if (rows <= deep) { /* threads share its columns */
        size_t share = (columns / threads + AMX_BLOCK - 1) / AMX_BLOCK * AMX_BLOCK;
        wide = share && share < wide ? share : wide;
    }
    struct tasks t = {rows, columns, deep, wide, (columns + wide - 1) / wide, 0};
    t.count = t.panels * ((rows + deep - 1) / deep);
    return t;
}

static struct tile task_at(const struct tasks *t, size_t i)
{
    size_t chunks = t->count / t->panels, row = i % chunks * t->deep, column = i / chunks * t->wide;
    return (struct tile){{row, t->rows - row < t->deep ? t->rows - row : t->deep},
                         {column, t->columns - column < t->wide ? t->columns - column : t->wide}};
}

/* What products work in, a thread's own. */
struct workspace {
    char *memory;
    size_t part;
};

static size_t workspace_of(const struct cpu *c, const struct tasks *t, size_t depth)
{
    return c->kernels->amx_scratch(t->deep, t->wide, depth);
}

static struct workspace workspace_open(struct cpu *c, size_t part)
{
    return (struct workspace){cpu_scratch(c, SCRATCH_PRODUCT, part * (size_t)c->base.threads + 1), part};
}

static void *workspace_at(const struct workspace *w) /* this thread's */
{
    return w->memory + w->part * (size_t)omp_get_thread_num();
}

/* A task of activations, whose rows hold w's depth, times w. */
static void activation_task(struct cpu *c, device_memory activations, const struct amx_packing *w, struct tile t,
                            const struct workspace *workspace, amx_finish finish, const void *context)
{
    c->kernels->amx_product(&(struct amx_product){.a = act_at(c, activations, t.rows.from * w->depth),
                                                  .b = packed_at(c, w, t.columns.from),
                                                  .finish = finish,
                                                  .context = context,
                                                  .scratch = workspace_at(workspace),
                                                  .first_row = t.rows.from,
                                                  .first_column = t.columns.from,
                                                  .rows = t.rows.count,
                                                  .columns = t.columns.count,
                                                  .depth = w->depth,
                                                  .a_stride = w->depth});
}

struct forward {
    struct cpu *c;
    device_memory y, pre;
    const float *bias;
    enum activation activation;
    struct amx_packing w;
    struct workspace workspace;
    size_t O;
};

static void finish_forward(const void *context, const float *block, size_t row, size_t column, size_t rows, size_t columns)
{
    const struct forward *f = context;
    f->c->kernels->bias_activation(&(struct epilogue){.y = act_at(f->c, f->y, row * f->O + column),
                                                      .pre = act_at(f->c, f->pre, row * f->O + column),
                                                      .product = block,
                                                      .bias = f->bias ? f->bias + column : NULL,
                                                      .activation = f->activation,
                                                      .rows = rows,
                                                      .columns = columns,
                                                      .stride = f->O,
                                                      .product_stride = AMX_BLOCK});
}

void cpu_amx_forward(struct cpu *c, device_memory y, device_memory pre, device_memory x, device_memory w, device_memory bias,
                     enum activation activation, size_t N, size_t K, size_t O)
{
    struct forward f = {.c = c,
                        .y = y,
                        .pre = pre,
                        .bias = host_f32(bias),
                        .activation = activation,
                        .w = packing_open(c, SCRATCH_WIDE_A, w, K, O, K),
                        .O = O};
    struct tasks tasks = tasks_of(c, N, O, K);
    f.workspace = workspace_open(c, workspace_of(c, &tasks, K));
    if (c->failure.kind != ERROR_NONE)
        return;
    c->base.flops += 2.0 * (double)N * (double)K * (double)O;
    size_t threads = (size_t)c->base.threads;
#pragma omp parallel num_threads(c->base.threads)
    {
#pragma omp for schedule(static)
        for (size_t i = 0; i < threads; i++)
            pack_share(c->kernels->amx_pack_across, &f.w, i, threads);
#pragma omp for schedule(dynamic, 1)
        for (size_t i = 0; i < tasks.count; i++)
            activation_task(c, x, &f.w, task_at(&tasks, i), &f.workspace, finish_forward, &f);
    }
}

struct backward {
    struct cpu *c;
    device_memory dx, dy;
    float *dw, *dbias;
    struct amx_packing w, x, turned; /* turned: dy */
    struct workspace workspace;
    int add;
    size_t N, K, O;
};

static void finish_input(const void *context, const float *block, size_t row, size_t column, size_t rows, size_t columns)
{
    const struct backward *b = context;
    for (size_t i = 0; i < rows; i++)
        b->c->kernels->store_product(act_at(b->c, b->dx, (row + i) * b->K + column), block + i * AMX_BLOCK, b->add, columns);
}

static void weight_task(const struct backward *b, struct tile t)
{
    b->c->kernels->amx_product(&(struct amx_product){.a = packed_at(b->c, &b->turned, t.rows.from),
                                                     .b = packed_at(b->c, &b->x, t.columns.from),
                                                     .c = b->dw + t.rows.from * b->K + t.columns.from,
                                                     .scratch = workspace_at(&b->workspace),
                                                     .rows = t.rows.count,
                                                     .columns = t.columns.count,
                                                     .depth = b->N,
                                                     .c_stride = b->K,
                                                     .a_packed = true});
}

static void pack_part(const struct backward *b, size_t part)
{
    size_t parts = (size_t)b->c->base.threads;
    struct share bias = share_of(b->O, part, parts, 32);
    if (b->dx.address)
        pack_share(b->c->kernels->amx_pack_down, &b->w, part, parts);
    if (b->dw) {
        pack_share(b->c->kernels->amx_pack_down, &b->x, part, parts);
        pack_share(b->c->kernels->amx_pack_turned, &b->turned, part, parts);
    }
    if (b->dbias)
        b->c->kernels->column_sums(b->dbias, host_pointer(b->dy), b->N, b->O, bias.from, bias.from + bias.count);
}

void cpu_amx_backward(struct cpu *c, device_memory dx, device_memory dw, device_memory dbias, device_memory dy, device_memory x,
                      device_memory w, int add_dx, size_t N, size_t K, size_t O)
{
    struct backward b = {.c = c,
                         .dx = dx,
                         .dy = dy,
                         .dw = host_f32(dw),
                         .dbias = host_f32(dbias),
                         .w = packing_open(c, SCRATCH_WIDE_A, w, K, K, O),
                         .x = packing_open(c, SCRATCH_WIDE_B, x, K, K, N),
                         .turned = packing_open(c, SCRATCH_WIDE_C, dy, O, O, N),
                         .add = add_dx,
                         .N = N,
                         .K = K,
                         .O = O};
    struct tasks inputs = dx.address ? tasks_of(c, N, K, O) : (struct tasks){0};
    struct tasks weights = b.dw ? tasks_of(c, O, K, N) : (struct tasks){0};
    size_t for_inputs = workspace_of(c, &inputs, O), for_weights = workspace_of(c, &weights, N);
    b.workspace = workspace_open(c, for_inputs > for_weights ? for_inputs : for_weights);
    if (c->failure.kind != ERROR_NONE)
        return;
    c->base.flops += ((dx.address ? 2.0 : 0) + (dw.address ? 2.0 : 0)) * (double)N * (double)K * (double)O;
    size_t threads = (size_t)c->base.threads;
#pragma omp parallel num_threads(c->base.threads)
    {
#pragma omp for schedule(static)
        for (size_t i = 0; i < threads; i++)
            pack_part(&b, i);
#pragma omp for schedule(dynamic, 1)
        for (size_t i = 0; i < inputs.count + weights.count; i++)
            if (i < inputs.count)
                activation_task(c, dy, &b.w, task_at(&inputs, i), &b.workspace, finish_input, &b);
            else
                weight_task(&b, task_at(&weights, i - inputs.count));
    }
}
