/* SPDX-License-Identifier: Apache-2.0 */
/* Owns oneDNN. Its bf16 primitives are made once, their sizes given when they run: T varies from step to step, and a primitive
 * for each T would be made in the middle of training. Measured at encoder shapes on Zen 5, this costs nothing against primitives
 * of fixed size. Floats go through its sgemm, which needs none. */
#include "worker/device/cpu_matmul.h"

#include "common/base/memory.h"

#include <oneapi/dnnl/dnnl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    bool a_transposed, b_transposed;
} kinds[PRODUCT_KINDS] = {
    [PRODUCT_FORWARD] = {false, true},
    [PRODUCT_INPUT] = {false, false},
    [PRODUCT_WEIGHT] = {true, false},
};

/* How sgemm sums over K depends on the sizes: it has other kernels for the last rows of a block (M mod 6 with AVX2, mod 8 with
 * AVX-512) and for the last columns (N mod 16), and cuts a long K in pieces by M. Within these limits M decides nothing, and N no
 * more than which columns are the last: tests/unit/worker/device/test_rows_alone.c. */
#define ALONE_ROWS 24  /* M is a multiple of it; what is missing is zeros */
#define ALONE_MOST 168 /* and no more than this */
#define ALONE_DEPTH 384
#define ALONE_FEW 48     /* so many rows are faster without sgemm, which copies b first */
#define ALONE_COLUMNS 16 /* few_rows has no other order for the last columns */

enum { SHAPES_MOST = 64 };

/* A map's product, as far as the order in which sgemm sums may depend on it. */
struct shape {
    size_t N, K, c_stride;
    bool agrees; /* few_rows gives sgemm's bits */
};

struct matmul {
    dnnl_engine_t engine;
    dnnl_stream_t *streams; /* one a part */
    int parts;
    dnnl_primitive_t primitives[PRODUCT_KINDS]; /* bf16; NULL where products are of floats */
    void (*few_rows)(const struct few_rows *p);
    struct shape shapes[SHAPES_MOST]; /* that have been tried; of all threads, in the critical section `shapes` */
    size_t shape_count;
};

/* rows x columns as a product sees it. */
static dnnl_memory_desc_t matrix(dnnl_data_type_t type, dnnl_dim_t rows, dnnl_dim_t columns, dnnl_dim_t stride, bool transposed)
{
    dnnl_memory_desc_t ret;
    dnnl_dims_t sizes = {rows, columns}, strides = {transposed ? 1 : stride, transposed ? stride : 1};
    dnnl_memory_desc_init_by_strides(&ret, 2, sizes, type, strides);
    return ret;
}

static int primitive_create(dnnl_primitive_t *ret, dnnl_engine_t engine, int kind)
{
    dnnl_dim_t open = DNNL_RUNTIME_DIM_VAL;
    dnnl_memory_desc_t a = matrix(dnnl_bf16, open, open, open, kinds[kind].a_transposed);
    dnnl_memory_desc_t b = matrix(dnnl_bf16, open, open, open, kinds[kind].b_transposed);
    dnnl_memory_desc_t c = matrix(dnnl_f32, open, open, open, false);
    dnnl_matmul_desc_t description;
    dnnl_primitive_desc_t chosen = NULL;
    dnnl_primitive_attr_t attributes = NULL;
    int64_t shared = 1;
    dnnl_status_t status = dnnl_matmul_desc_init(&description, &a, &b, NULL, &c);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_create(&attributes);
    if (status == dnnl_success) /* the caller's memory: threads run one primitive at the same time */
        status = dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user);
    if (status == dnnl_success)
        status = dnnl_primitive_desc_create(&chosen, &description, attributes, engine, NULL);
    if (status == dnnl_success) { /* one that needs such memory is not used */
        shared = (int64_t)dnnl_memory_desc_get_size(dnnl_primitive_desc_query_md(chosen, dnnl_query_scratchpad_md, 0));
        status = shared ? dnnl_unimplemented : dnnl_primitive_create(ret, chosen);
    }
    dnnl_primitive_desc_destroy(chosen);
    dnnl_primitive_attr_destroy(attributes);
    return status == dnnl_success ? 0 : -1;
}

static void primitives_destroy(struct matmul *m)
{
    for (int kind = 0; kind < PRODUCT_KINDS; kind++)
        if (m->primitives[kind])
            dnnl_primitive_destroy(m->primitives[kind]);
    memset(m->primitives, 0, sizeof m->primitives);
}

/* oneDNN multiplies bf16 only with AVX-512, and not where DNNL_MAX_CPU_ISA forbids it: then none. */
static void primitives_create(struct matmul *m)
{
    for (int kind = 0; kind < PRODUCT_KINDS; kind++)
        if (primitive_create(&m->primitives[kind], m->engine, kind) != 0) {
            primitives_destroy(m);
            return;
        }
}

int matmul_create(struct matmul **ret, int threads, bool bf16, void (*few_rows)(const struct few_rows *p))
{
    struct matmul *m = allocate(1, sizeof *m);
    m->few_rows = few_rows;
    m->streams = allocate((size_t)threads, sizeof *m->streams);
    if (dnnl_engine_create(&m->engine, dnnl_cpu, 0) != dnnl_success)
        goto fail;
    for (; m->parts < threads; m->parts++)
        if (dnnl_stream_create(&m->streams[m->parts], m->engine, dnnl_stream_default_flags) != dnnl_success)
            goto fail;
    if (bf16)
        primitives_create(m);
    *ret = m;
    return 0;
fail:
    matmul_destroy(&m);
    return -1;
}

void matmul_destroy(struct matmul **m)
{
    if (!*m)
        return;
    primitives_destroy(*m);
    while ((*m)->parts > 0)
        dnnl_stream_destroy((*m)->streams[--(*m)->parts]);
    if ((*m)->engine)
        dnnl_engine_destroy((*m)->engine);
    free((*m)->streams);
    free(*m);
    *m = NULL;
}

bool matmul_takes_bf16(const struct matmul *m)
{
    return m->primitives[0] != NULL;
}

const char *matmul_version(char *text, size_t size)
{
    const dnnl_version_t *v = dnnl_version();
    snprintf(text, size, "oneDNN %d.%d.%d", v->major, v->minor, v->patch);
    return text;
}

static dnnl_status_t run_f32(const struct matrix_product *p)
{
    char ta = kinds[p->kind].a_transposed ? 'T' : 'N', tb = kinds[p->kind].b_transposed ? 'T' : 'N';
    return dnnl_sgemm(ta, tb, (dnnl_dim_t)p->M, (dnnl_dim_t)p->N, (dnnl_dim_t)p->K, 1, p->a, (dnnl_dim_t)p->a_stride, p->b,
                      (dnnl_dim_t)p->b_stride, p->add, p->c, (dnnl_dim_t)p->c_stride);
}

static dnnl_status_t run_bf16(struct matmul *m, size_t part, const struct matrix_product *p)
{
    dnnl_dim_t M = (dnnl_dim_t)p->M, N = (dnnl_dim_t)p->N, K = (dnnl_dim_t)p->K;
    dnnl_memory_desc_t of[3] = {matrix(dnnl_bf16, M, K, (dnnl_dim_t)p->a_stride, kinds[p->kind].a_transposed),
                                matrix(dnnl_bf16, K, N, (dnnl_dim_t)p->b_stride, kinds[p->kind].b_transposed),
                                matrix(dnnl_f32, M, N, (dnnl_dim_t)p->c_stride, false)};
    void *data[3] = {(void *)(uintptr_t)p->a, (void *)(uintptr_t)p->b, p->c};
    dnnl_exec_arg_t arguments[3] = {{DNNL_ARG_SRC, NULL}, {DNNL_ARG_WEIGHTS, NULL}, {DNNL_ARG_DST, NULL}};
    dnnl_status_t status = dnnl_success;
    for (int i = 0; i < 3 && status == dnnl_success; i++)
        status = dnnl_memory_create(&arguments[i].memory, &of[i], m->engine, data[i]);
    if (status == dnnl_success)
        status = dnnl_primitive_execute(m->primitives[p->kind], m->streams[part], 3, arguments);
    if (status == dnnl_success)
        status = dnnl_stream_wait(m->streams[part]);
    for (int i = 0; i < 3; i++)
        if (arguments[i].memory)
            dnnl_memory_destroy(arguments[i].memory);
    return status;
}

/* ---- rows alone ---- */

static struct matrix_product piece_of(const struct matrix_product *p, size_t row, size_t rows, size_t k)
{
    struct matrix_product q = *p;
    q.a = (const float *)p->a + row * p->a_stride + k;
    q.b = (const float *)p->b + k;
    q.c = p->c + row * p->c_stride;
    q.M = rows;
    q.K = p->K - k < ALONE_DEPTH ? p->K - k : ALONE_DEPTH;
    q.add = k > 0 || p->add;
    return q;
}

/* Fewer rows than ALONE_ROWS, from `row` on. */
static dnnl_status_t run_padded(float *c, const struct matrix_product *p, size_t row)
{
    float a[ALONE_ROWS * ALONE_DEPTH] = {0};
    size_t rows = p->M - row;
    dnnl_status_t status = dnnl_success;
    for (size_t k = 0; k < p->K && status == dnnl_success; k += ALONE_DEPTH) {
        struct matrix_product q = piece_of(p, row, ALONE_ROWS, k);
        for (size_t i = 0; i < rows; i++)
            memcpy(a + i * q.K, (const float *)q.a + i * p->a_stride, q.K * sizeof *a);
        q.a = a;
        q.a_stride = q.K;
        q.c = c;
        q.c_stride = p->N;
        q.add = k > 0;
        status = run_f32(&q);
        memset(a, 0, sizeof a);
    }
    for (size_t i = 0; i < rows; i++)
        memcpy(p->c + (row + i) * p->c_stride, c + i * p->N, p->N * sizeof *c);
    return status;
}

/* As sgemm sums a piece: up to FEW_ROWS_DEPTH in one go, more in two halves. */
static void run_few_piece(const struct matmul *m, const struct matrix_product *q)
{
    size_t first = q->K <= FEW_ROWS_DEPTH ? q->K : (q->K + 1) / 2;
    struct few_rows p = {.c = q->c,
                         .x = q->a,
                         .w = q->b,
                         .c_stride = q->c_stride,
                         .x_stride = q->a_stride,
                         .w_stride = q->b_stride,
                         .rows = q->M,
                         .columns = q->N,
                         .depth = first,
                         .add = q->add};
    m->few_rows(&p);
    if (first == q->K)
        return;
    p.x += first;
    p.w += first;
    p.depth = q->K - first;
    p.add = true;
    m->few_rows(&p);
}

static dnnl_status_t run_whole(const struct matrix_product *p, size_t whole)
{
    dnnl_status_t status = dnnl_success;
    for (size_t row = 0; row < whole && status == dnnl_success; row += ALONE_MOST)
        for (size_t k = 0; k < p->K && status == dnnl_success; k += ALONE_DEPTH) {
            struct matrix_product q = piece_of(p, row, whole - row < ALONE_MOST ? whole - row : ALONE_MOST, k);
            status = run_f32(&q);
        }
    return status;
}

static void run_few(const struct matmul *m, const struct matrix_product *p, size_t row)
{
    for (size_t k = 0; k < p->K; k += ALONE_DEPTH) {
        struct matrix_product q = piece_of(p, row, p->M - row, k);
        run_few_piece(m, &q);
    }
}

/* Whether few_rows gives sgemm's bits, tried on a product of the same sizes: oneDNN has another sgemm for each instruction set,
 * and each chooses by sizes how it goes about it. */
static bool try_few(const struct matmul *m, const struct matrix_product *like)
{
    size_t K = like->K, size = ALONE_FEW * like->c_stride;
    uint32_t random = 1;
    float *x = allocate((ALONE_FEW + like->N) * K + 2 * size + ALONE_ROWS * like->N, sizeof *x),
          *few = x + (ALONE_FEW + like->N) * K, *c = few + size, *rest = c + size;
    for (size_t i = 0; i < (ALONE_FEW + like->N) * K; i++) {
        random = random * 1664525u + 1013904223u;
        x[i] = (float)(random >> 8) / 8388608.0f - 1;
    }
    struct matrix_product q = {.kind = PRODUCT_FORWARD,
                               .a = x,
                               .b = x + ALONE_FEW * K,
                               .c = few,
                               .a_stride = K,
                               .b_stride = K,
                               .c_stride = like->c_stride,
                               .M = ALONE_FEW,
                               .N = like->N,
                               .K = K};
    run_few(m, &q, 0);
    q.c = c;
    bool same = run_whole(&q, ALONE_FEW) == dnnl_success && memcmp(few, c, size * sizeof *c) == 0 &&
                run_whole(&q, ALONE_ROWS) == dnnl_success && memcmp(few, c, size * sizeof *c) == 0 &&
                run_padded(rest, &q, ALONE_ROWS + 1) == dnnl_success && memcmp(few, c, size * sizeof *c) == 0;
    free(x);
    return same;
}

static bool tried(struct matmul *m, const struct matrix_product *p)
{
    for (size_t i = 0; i < m->shape_count; i++)
        if (m->shapes[i].N == p->N && m->shapes[i].K == p->K && m->shapes[i].c_stride == p->c_stride)
            return m->shapes[i].agrees;
    if (m->shape_count == SHAPES_MOST)
        return false;
    m->shapes[m->shape_count] = (struct shape){p->N, p->K, p->c_stride, try_few(m, p)};
    return m->shapes[m->shape_count++].agrees;
}

static bool takes_few(struct matmul *m, const struct matrix_product *p)
{
    if (p->N % ALONE_COLUMNS != 0 || p->a_stride != p->K || p->b_stride != p->K || p->add)
        return false;
    bool ret;
#pragma omp critical(shapes)
    ret = tried(m, p);
    return ret;
}

static dnnl_status_t run_rest(struct matmul *m, const struct matrix_product *p, size_t row)
{
    if (takes_few(m, p)) {
        run_few(m, p, row);
        return dnnl_success;
    }
    float *rest = allocate(ALONE_ROWS * p->N, sizeof *rest);
    dnnl_status_t status = run_padded(rest, p, row);
    free(rest);
    return status;
}

static dnnl_status_t run_rows_alone(struct matmul *m, const struct matrix_product *p)
{
    size_t whole = p->M <= ALONE_FEW && takes_few(m, p) ? 0 : p->M / ALONE_ROWS * ALONE_ROWS;
    dnnl_status_t status = run_whole(p, whole);
    return whole == p->M || status != dnnl_success ? status : run_rest(m, p, whole);
}

static dnnl_status_t run_floats(struct matmul *m, const struct matrix_product *p)
{
    return p->rows_alone ? run_rows_alone(m, p) : run_f32(p);
}

int matmul_run(struct matmul *m, size_t part, const struct matrix_product *p)
{
    if (p->K == 0)
        for (size_t i = 0; i < p->M; i++)
            memset(p->c + i * p->c_stride, 0, p->N * sizeof *p->c);
    if (p->M == 0 || p->N == 0 || p->K == 0)
        return 0;
    return (int)(matmul_takes_bf16(m) ? run_bf16(m, part, p) : run_floats(m, p));
}
