/* SPDX-License-Identifier: Apache-2.0 */
/* cuBLASLt is column-major: a row-major (N,K) is its (K,N). An algorithm is asked for once a shape, and without those that add
 * parts of a sum in no stated order. */
#include "worker/device/cuda/matmul.h"

#include "worker/device/cuda/runtime.cuh"

#include <map>
#include <new>
#include <tuple>

enum { WORKSPACE = 32 << 20 };

namespace
{

/* kind, add, bias, alignment of pointers; N of the algorithm, K, O. */
typedef std::tuple<int, bool, bool, unsigned, size_t, size_t, size_t> shape;

/* Matrices as cuBLASLt has them: D (m,n) = A (m,k) B (k,n). */
struct extents {
    cublasOperation_t left, right;
    size_t a[2], b[2], d[2]; /* rows, columns as they lie */
};

extents extents_of(enum product kind, size_t N, size_t K, size_t O)
{
    switch (kind) {
    case PRODUCT_FORWARD: /* y^T = w x^T */
        return {CUBLAS_OP_T, CUBLAS_OP_N, {K, O}, {K, N}, {O, N}};
    case PRODUCT_INPUT: /* dx^T = w^T dy^T */
        return {CUBLAS_OP_N, CUBLAS_OP_N, {K, O}, {O, N}, {K, N}};
    default: /* dw^T = x^T dy */
        return {CUBLAS_OP_N, CUBLAS_OP_T, {K, N}, {O, N}, {K, O}};
    }
}

/* How far N is rounded up for the choice of an algorithm: rows of a batch are of any number. */
size_t rounded_rows(size_t N)
{
    size_t step = N <= 256 ? 32 : 256;
    return (N + step - 1) / step * step;
}

unsigned alignment_of(uintptr_t all)
{
    unsigned ret = 256;
    while (all % ret)
        ret /= 2;
    return ret;
}

} // namespace

struct matmul {
    cublasLtHandle_t lt;
    cudaDataType_t act;
    cublasComputeType_t compute;
    void *workspace;
    std::map<shape, cublasLtMatmulAlgo_t> algorithms;
};

int matmul_create(struct matmul **ret, enum precision precision, struct error *e)
{
    struct matmul *m = new (std::nothrow) matmul();
    if (!m)
        return error_set(e, ERROR_FAILED, "cuda: out of memory");
    m->act = precision == PRECISION_BF16 ? CUDA_R_16BF : CUDA_R_32F;
    m->compute = precision == PRECISION_TF32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    cublasStatus_t status = cublasLtCreate(&m->lt);
    if (status == CUBLAS_STATUS_SUCCESS && cudaMalloc(&m->workspace, WORKSPACE) == cudaSuccess) {
        *ret = m;
        return 0;
    }
    error_set(e, ERROR_FAILED, "cuda: cuBLASLt does not start (status %d), or the GPU has no 32 MiB left for it", (int)status);
    matmul_destroy(&m);
    return -1;
}

void matmul_destroy(struct matmul **m)
{
    if (!*m)
        return;
    if ((*m)->lt)
        cublasLtDestroy((*m)->lt);
    cudaFree((*m)->workspace);
    delete *m;
    *m = NULL;
}

/* What a call works with, made for it. */
struct plan {
    cublasLtMatmulDesc_t operation;
    cublasLtMatrixLayout_t a, b, d;
};

static void plan_close(struct plan *p)
{
    if (p->operation)
        cublasLtMatmulDescDestroy(p->operation);
    cublasLtMatrixLayout_t *layouts[] = {&p->a, &p->b, &p->d};
    for (int i = 0; i < 3; i++)
        if (*layouts[i])
            cublasLtMatrixLayoutDestroy(*layouts[i]);
}

static cublasStatus_t plan_open(struct plan *p, const struct matmul *m, enum product kind, const void *bias, size_t N, size_t K,
                                size_t O)
{
    const extents x = extents_of(kind, N, K, O);
    cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_BIAS;
    cudaDataType_t to = kind == PRODUCT_WEIGHT ? CUDA_R_32F : m->act;
    cublasStatus_t s = cublasLtMatmulDescCreate(&p->operation, m->compute, CUDA_R_32F);
    if (!s)
        s = cublasLtMatmulDescSetAttribute(p->operation, CUBLASLT_MATMUL_DESC_TRANSA, &x.left, sizeof x.left);
    if (!s)
        s = cublasLtMatmulDescSetAttribute(p->operation, CUBLASLT_MATMUL_DESC_TRANSB, &x.right, sizeof x.right);
    if (!s && bias)
        s = cublasLtMatmulDescSetAttribute(p->operation, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue);
    if (!s && bias)
        s = cublasLtMatmulDescSetAttribute(p->operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias);
    if (!s)
        s = cublasLtMatrixLayoutCreate(&p->a, m->act, x.a[0], x.a[1], (int64_t)x.a[0]);
    if (!s)
        s = cublasLtMatrixLayoutCreate(&p->b, m->act, x.b[0], x.b[1], (int64_t)x.b[0]);
    if (!s)
        s = cublasLtMatrixLayoutCreate(&p->d, to, x.d[0], x.d[1], (int64_t)x.d[0]);
    return s;
}

static cublasStatus_t ask_algorithm(struct matmul *m, cublasLtMatmulAlgo_t *ret, const struct plan *p, uint32_t alignment)
{
    static const cublasLtMatmulPreferenceAttributes_t aligned[] = {
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
    cublasLtMatmulPreference_t preference = NULL;
    cublasLtMatmulHeuristicResult_t found = {};
    uint64_t workspace = WORKSPACE;
    uint32_t schemes = CUBLASLT_REDUCTION_SCHEME_NONE;
    int count = 0;
    cublasStatus_t s = cublasLtMatmulPreferenceCreate(&preference);
    if (!s)
        s = cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace,
                                                 sizeof workspace);
    if (!s)
        s = cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &schemes,
                                                 sizeof schemes);
    for (int i = 0; i < 4 && !s; i++)
        s = cublasLtMatmulPreferenceSetAttribute(preference, aligned[i], &alignment, sizeof alignment);
    if (!s)
        s = cublasLtMatmulAlgoGetHeuristic(m->lt, p->operation, p->a, p->b, p->d, p->d, preference, 1, &found, &count);
    if (preference)
        cublasLtMatmulPreferenceDestroy(preference);
    if (!s && count < 1)
        s = CUBLAS_STATUS_NOT_SUPPORTED;
    *ret = found.algo;
    return s;
}

static cublasStatus_t find_algorithm(struct matmul *m, const cublasLtMatmulAlgo_t **ret, const shape &key, const void *bias)
{
    auto found = m->algorithms.find(key);
    cublasStatus_t s = CUBLAS_STATUS_SUCCESS;
    if (found == m->algorithms.end()) {
        struct plan p = {};
        cublasLtMatmulAlgo_t algorithm;
        s = plan_open(&p, m, (enum product)std::get<0>(key), bias, std::get<4>(key), std::get<5>(key), std::get<6>(key));
        if (!s)
            s = ask_algorithm(m, &algorithm, &p, std::get<3>(key));
        plan_close(&p);
        if (s)
            return s;
        found = m->algorithms.emplace(key, algorithm).first;
    }
    *ret = &found->second;
    return s;
}

void cuda_multiply(struct cuda *c, enum product kind, void *to, const void *left, const void *right, const void *bias, bool add,
                   size_t N, size_t K, size_t O)
{
    struct matmul *m = c->matmul;
    struct plan p = {};
    const cublasLtMatmulAlgo_t *algorithm = NULL;
    const float one = 1, beta = add ? 1 : 0;
    if (c->failed || !N || !K || !O)
        return;
    unsigned alignment = alignment_of((uintptr_t)to | (uintptr_t)left | (uintptr_t)right);
    cublasStatus_t s = find_algorithm(m, &algorithm, shape(kind, add, bias != NULL, alignment, rounded_rows(N), K, O), bias);
    if (!s)
        s = plan_open(&p, m, kind, bias, N, K, O);
    if (!s) /* transposed: factors change places */
        s = cublasLtMatmul(m->lt, p.operation, &one, right, p.a, left, p.b, &beta, to, p.d, to, p.d, algorithm, m->workspace,
                           WORKSPACE, c->stream);
    plan_close(&p);
    if (s)
        cuda_fail(c, "cuBLASLt: product %d of N %zu, K %zu, O %zu: status %d", (int)kind, N, K, O, (int)s);
}
