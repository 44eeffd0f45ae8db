/* Owns oneDNN: the matrix products of the cpu device. Three primitives, made once, whose sizes are given when they run: T varies
 * from step to step, and a primitive for each T would be made in the middle of training. Measured (Zen 5, encoder shapes), this
 * costs nothing against primitives of fixed size. They write float; bias, activation and rounding follow over panels of rows
 * that the caches still hold. */
#include "worker/device/cpu_device.h"

#include "common/base/memory.h"

#include <omp.h>
#include <oneapi/dnnl/dnnl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PANEL_ROWS 512 /* of a bf16 map's product before it is rounded: measured within 3 % of the whole in one product */

enum { FORWARD, INPUT, WEIGHT, PRODUCT_KINDS };

/* c (M,N) = a b, K summed over; stored row by row, a or b as their transposes. */
static const struct {
    bool a_transposed, b_transposed;
} kinds[PRODUCT_KINDS] = {
    [FORWARD] = {false, true}, /* x w^T */
    [INPUT] = {false, false},  /* dy w */
    [WEIGHT] = {true, false},  /* dy^T x */
};

struct matmul {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_t primitives[PRODUCT_KINDS]; /* bf16; NULL where products are of floats */
};

static dnnl_memory_desc_t matrix(dnnl_data_type_t type, dnnl_dim_t rows, dnnl_dim_t columns, bool transposed)
{
    dnnl_memory_desc_t ret;
    bool open = rows == DNNL_RUNTIME_DIM_VAL;
    dnnl_dims_t sizes = {rows, columns}, strides = {open ? rows : columns, 1};
    if (transposed) {
        strides[0] = 1;
        strides[1] = rows;
    }
    dnnl_memory_desc_init_by_strides(&ret, 2, sizes, type, strides);
    return ret;
}

static int primitive_create(dnnl_primitive_t *ret, dnnl_engine_t engine, int kind)
{
    dnnl_dim_t open = DNNL_RUNTIME_DIM_VAL;
    dnnl_memory_desc_t a = matrix(dnnl_bf16, open, open, kinds[kind].a_transposed);
    dnnl_memory_desc_t b = matrix(dnnl_bf16, open, open, kinds[kind].b_transposed), c = matrix(dnnl_f32, open, open, false);
    dnnl_matmul_desc_t description;
    dnnl_primitive_desc_t chosen;
    if (dnnl_matmul_desc_init(&description, &a, &b, NULL, &c) != dnnl_success ||
        dnnl_primitive_desc_create(&chosen, &description, NULL, engine, NULL) != dnnl_success)
        return -1;
    dnnl_status_t status = dnnl_primitive_create(ret, chosen);
    dnnl_primitive_desc_destroy(chosen);
    return status == dnnl_success ? 0 : -1;
}

static void primitives_destroy(struct matmul *m)
{
    for (int kind = 0; kind < PRODUCT_KINDS; kind++)
        if (m->primitives[kind])
            dnnl_primitive_destroy(m->primitives[kind]);
    memset(m->primitives, 0, sizeof m->primitives);
}

/* oneDNN multiplies bf16 only with AVX-512 (and not where DNNL_MAX_CPU_ISA forbids it); elsewhere bf16 is widened first. */
static void primitives_create(struct matmul *m)
{
    for (int kind = 0; kind < PRODUCT_KINDS; kind++)
        if (primitive_create(&m->primitives[kind], m->engine, kind) != 0) {
            primitives_destroy(m);
            return;
        }
}

int matmul_create(struct matmul **ret, struct cpu *c, struct error *e)
{
    struct matmul *m = allocate(1, sizeof *m);
    omp_set_num_threads(c->base.threads);
    if (dnnl_engine_create(&m->engine, dnnl_cpu, 0) != dnnl_success ||
        dnnl_stream_create(&m->stream, m->engine, dnnl_stream_default_flags) != dnnl_success)
        goto fail;
    if (c->base.precision == PRECISION_BF16 && strncmp(c->kernels->isa, "avx512", 6) == 0)
        primitives_create(m);
    *ret = m;
    return 0;
fail:
    matmul_destroy(&m);
    return error_set(e, ERROR_FAILED, "device cpu: oneDNN cannot be set up on this machine; set train.precision to f32");
}

void matmul_destroy(struct matmul **m)
{
    if (!*m)
        return;
    primitives_destroy(*m);
    if ((*m)->stream)
        dnnl_stream_destroy((*m)->stream);
    if ((*m)->engine)
        dnnl_engine_destroy((*m)->engine);
    free(*m);
    *m = NULL;
}

const char *matmul_version(char *text, size_t size)
{
    const dnnl_version_t *v = dnnl_version();
    snprintf(text, size, "oneDNN %d.%d.%d", v->major, v->minor, v->patch);
    return text;
}

struct operands {
    int kind;
    float *c;
    const void *a, *b; /* act */
    size_t M, N, K;
    bool add;
};

static void check(struct cpu *c, dnnl_status_t status)
{
    if (status != dnnl_success)
        cpu_fail(c, "device cpu: oneDNN refuses a matrix product (status %d); set train.precision to f32", (int)status);
}

static void multiply_f32(struct cpu *c, const struct operands *o, const float *a, const float *b)
{
    bool ta = kinds[o->kind].a_transposed, tb = kinds[o->kind].b_transposed;
    dnnl_dim_t M = (dnnl_dim_t)o->M, N = (dnnl_dim_t)o->N, K = (dnnl_dim_t)o->K;
    check(c, dnnl_sgemm(ta ? 'T' : 'N', tb ? 'T' : 'N', M, N, K, 1, a, ta ? M : K, b, tb ? K : N, o->add, o->c, N));
}

static void multiply_widened(struct cpu *c, const struct operands *o)
{
    float *a = cpu_scratch(c, SCRATCH_WIDE_A, o->M * o->K * sizeof *a);
    float *b = cpu_scratch(c, SCRATCH_WIDE_B, o->K * o->N * sizeof *b);
    if (!a || !b)
        return;
    c->kernels->widen(a, o->a, o->M * o->K);
    c->kernels->widen(b, o->b, o->K * o->N);
    multiply_f32(c, o, a, b);
}

static dnnl_memory_t operand(struct cpu *c, dnnl_data_type_t type, size_t rows, size_t columns, bool transposed, const void *data)
{
    dnnl_memory_t ret = NULL;
    dnnl_memory_desc_t description = matrix(type, (dnnl_dim_t)rows, (dnnl_dim_t)columns, transposed);
    check(c, dnnl_memory_create(&ret, &description, c->matmul->engine, (void *)(uintptr_t)data));
    return ret;
}

static void multiply_bf16(struct cpu *c, const struct operands *o)
{
    dnnl_memory_t a = operand(c, dnnl_bf16, o->M, o->K, kinds[o->kind].a_transposed, o->a);
    dnnl_memory_t b = operand(c, dnnl_bf16, o->K, o->N, kinds[o->kind].b_transposed, o->b);
    dnnl_memory_t product = operand(c, dnnl_f32, o->M, o->N, false, o->c);
    if (c->failure.kind == ERROR_NONE) {
        dnnl_exec_arg_t arguments[] = {{DNNL_ARG_SRC, a}, {DNNL_ARG_WEIGHTS, b}, {DNNL_ARG_DST, product}};
        check(c, dnnl_primitive_execute(c->matmul->primitives[o->kind], c->matmul->stream, 3, arguments));
        check(c, dnnl_stream_wait(c->matmul->stream));
    }
    dnnl_memory_destroy(a);
    dnnl_memory_destroy(b);
    dnnl_memory_destroy(product);
}

static void multiply(struct cpu *c, const struct operands *o)
{
    c->base.flops += 2.0 * (double)o->M * (double)o->N * (double)o->K;
    omp_set_num_threads(c->base.threads); /* of the calling thread, which need not be the one that made the device */
    if (c->base.precision == PRECISION_F32)
        multiply_f32(c, o, o->a, o->b);
    else if (c->matmul->primitives[0])
        multiply_bf16(c, o);
    else
        multiply_widened(c, o);
}

static size_t panel_count(size_t rows)
{
    return (rows + PANEL_ROWS - 1) / PANEL_ROWS;
}

static const char *act_at(const struct cpu *c, device_memory m, size_t element)
{
    return (const char *)host_pointer(m) + element * precision_bytes(c->base.precision);
}

struct share {
    size_t from, to;
};

/* What part `i` of `parts` has of n things, by whole `grain`s. */
static struct share share_of(size_t n, size_t i, size_t parts, size_t grain)
{
    size_t grains = (n + grain - 1) / grain;
    struct share s = {grains * i / parts * grain, grains * (i + 1) / parts * grain};
    return (struct share){s.from < n ? s.from : n, s.to < n ? s.to : n};
}

/* y, pre: rows of a linear map from their product. */
static void finish_rows(struct cpu *c, char *y, char *pre, const float *product, const float *bias, enum activation activation,
                        size_t rows, size_t O)
{
    size_t bytes = precision_bytes(c->base.precision) * O, parts = (size_t)c->base.threads;
#pragma omp parallel for num_threads(c->base.threads) schedule(static)
    for (size_t i = 0; i < parts; i++) {
        struct share s = share_of(rows, i, parts, 1);
        c->kernels->bias_activation(y + s.from * bytes, pre ? pre + s.from * bytes : NULL, product + s.from * O, bias, activation,
                                    s.to - s.from, O);
    }
}

void cpu_linear_forward(struct device *d, device_memory y, device_memory pre, device_memory x, device_memory w,
                        device_memory bias, enum activation activation, size_t N, size_t K, size_t O)
{
    struct cpu *c = cpu_of(d);
    bool wide = d->precision == PRECISION_F32; /* the product is stored where it stays */
    size_t panels = wide ? N > 0 : panel_count(N);
    float *scratch = wide ? NULL : cpu_scratch(c, SCRATCH_PRODUCT, (N / (panels ? panels : 1) + 1) * O * sizeof(float));
    for (size_t i = 0; i < panels && c->failure.kind == ERROR_NONE; i++) {
        size_t from = N * i / panels, rows = N * (i + 1) / panels - from;
        float *product = wide ? host_f32(pre.address ? pre : y) : scratch;
        struct operands o = {FORWARD, product, act_at(c, x, from * K), host_pointer(w), rows, O, K, false};
        multiply(c, &o);
        finish_rows(c, (char *)(uintptr_t)act_at(c, y, from * O),
                    pre.address ? (char *)(uintptr_t)act_at(c, pre, from * O) : NULL, product, host_f32(bias), activation, rows,
                    O);
    }
}

static void store_rows(struct cpu *c, char *y, const float *product, int add, size_t n)
{
    size_t bytes = precision_bytes(c->base.precision), parts = (size_t)c->base.threads;
#pragma omp parallel for num_threads(c->base.threads) schedule(static)
    for (size_t i = 0; i < parts; i++) {
        struct share s = share_of(n, i, parts, 64);
        c->kernels->store_product(y + s.from * bytes, product + s.from, add, s.to - s.from);
    }
}

static void input_gradient(struct cpu *c, device_memory dx, device_memory dy, device_memory w, int add_dx, size_t N, size_t K,
                           size_t O)
{
    bool wide = c->base.precision == PRECISION_F32;
    size_t panels = wide ? N > 0 : panel_count(N);
    float *scratch = wide ? NULL : cpu_scratch(c, SCRATCH_PRODUCT, (N / (panels ? panels : 1) + 1) * K * sizeof(float));
    for (size_t i = 0; i < panels && c->failure.kind == ERROR_NONE; i++) {
        size_t from = N * i / panels, rows = N * (i + 1) / panels - from;
        struct operands o = {INPUT,         wide ? host_f32(dx) : scratch, act_at(c, dy, from * O), host_pointer(w), rows, K, O,
                             wide && add_dx};
        multiply(c, &o);
        if (!wide)
            store_rows(c, (char *)(uintptr_t)act_at(c, dx, from * K), scratch, add_dx, rows * K);
    }
}

static void bias_gradient(struct cpu *c, device_memory dbias, device_memory dy, size_t N, size_t O)
{
    size_t parts = (size_t)c->base.threads;
#pragma omp parallel for num_threads(c->base.threads) schedule(static)
    for (size_t i = 0; i < parts; i++) {
        struct share s = share_of(O, i, parts, 32);
        c->kernels->column_sums(host_f32(dbias), host_pointer(dy), N, O, s.from, s.to);
    }
}

void cpu_linear_backward(struct device *d, device_memory dx, device_memory dw, device_memory dbias, device_memory dy,
                         device_memory x, device_memory w, int add_dx, size_t N, size_t K, size_t O)
{
    struct cpu *c = cpu_of(d);
    if (c->failure.kind != ERROR_NONE)
        return;
    if (dx.address)
        input_gradient(c, dx, dy, w, add_dx, N, K, O);
    struct operands o = {WEIGHT, host_f32(dw), host_pointer(dy), host_pointer(x), O, K, N, false};
    if (N > 0)
        multiply(c, &o);
    else
        memset(host_f32(dw), 0, O * K * sizeof(float));
    bias_gradient(c, dbias, dy, N, O);
}
