/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/emu/cublaslt.h"

struct emulated_lt {
};

struct emulated_product {
    cublasOperation_t left = CUBLAS_OP_N, right = CUBLAS_OP_N;
    cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    const void *bias = NULL;
    bool tf32 = false;
};

struct emulated_layout {
    cudaDataType_t type;
    uint64_t rows, columns;
    int64_t leading;
};

struct emulated_preference {
    uint32_t schemes = UINT32_MAX, alignment = 256;
};

cublasStatus_t cublasLtCreate(cublasLtHandle_t *ret)
{
    *ret = new emulated_lt();
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t lt)
{
    delete lt;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *ret, cublasComputeType_t compute, cudaDataType_t scale)
{
    *ret = new emulated_product();
    (*ret)->tf32 = compute == CUBLAS_COMPUTE_32F_FAST_TF32;
    return scale == CUDA_R_32F ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t p)
{
    delete p;
    return CUBLAS_STATUS_SUCCESS;
}

template <typename T>
static cublasStatus_t take(T *to, const void *value, size_t size)
{
    if (size != sizeof *to)
        return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(to, value, size);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t p, cublasLtMatmulDescAttributes_t what, const void *value,
                                              size_t size)
{
    switch (what) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
        return take(&p->left, value, size);
    case CUBLASLT_MATMUL_DESC_TRANSB:
        return take(&p->right, value, size);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
        return take(&p->epilogue, value, size);
    default:
        return take(&p->bias, value, size);
    }
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *ret, cudaDataType_t type, uint64_t rows, uint64_t columns,
                                          int64_t leading)
{
    *ret = new emulated_layout{type, rows, columns, leading};
    return leading < (int64_t)rows ? CUBLAS_STATUS_INVALID_VALUE : CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t l)
{
    delete l;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *ret)
{
    *ret = new emulated_preference();
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t p)
{
    delete p;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t p, cublasLtMatmulPreferenceAttributes_t what,
                                                    const void *value, size_t size)
{
    uint64_t workspace;
    if (what == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES)
        return take(&workspace, value, size);
    return take(what == CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK ? &p->schemes : &p->alignment, value, size);
}

/* Whether D (m,n) = A (m,k) B (k,n) fits; and the extents. */
static bool extents(const emulated_product *p, const emulated_layout *a, const emulated_layout *b, const emulated_layout *d,
                    uint64_t *m, uint64_t *n, uint64_t *k)
{
    *m = p->left == CUBLAS_OP_T ? a->columns : a->rows;
    *k = p->left == CUBLAS_OP_T ? a->rows : a->columns;
    *n = p->right == CUBLAS_OP_T ? b->rows : b->columns;
    return *k == (p->right == CUBLAS_OP_T ? b->columns : b->rows) && *m == d->rows && *n == d->columns && a->type == b->type &&
           (d->type == a->type || d->type == CUDA_R_32F);
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t p, cublasLtMatrixLayout_t a,
                                              cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int, cublasLtMatmulHeuristicResult_t *ret,
                                              int *count)
{
    uint64_t m, n, k;
    if (!extents(p, a, b, d, &m, &n, &k) || preference->schemes != CUBLASLT_REDUCTION_SCHEME_NONE)
        return CUBLAS_STATUS_NOT_SUPPORTED;
    ret->algo.alignment = preference->alignment;
    *count = 1;
    return CUBLAS_STATUS_SUCCESS;
}

static float load(const emulated_layout *l, const void *at, uint64_t row, uint64_t column)
{
    uint64_t i = row + column * (uint64_t)l->leading;
    return l->type == CUDA_R_16BF ? bf16_value(((const uint16_t *)at)[i]) : ((const float *)at)[i];
}

/* To 10 bits of mantissa, ties away from zero, as cvt.rna.tf32 does. */
static float tf32_round(float x)
{
    uint32_t bits;
    if (!isfinite(x))
        return x;
    memcpy(&bits, &x, sizeof bits);
    bits = (bits + 0x1000) & ~0x1fffu;
    memcpy(&x, &bits, sizeof bits);
    return x;
}

static void store(const emulated_layout *l, void *at, uint64_t row, uint64_t column, float x)
{
    uint64_t i = row + column * (uint64_t)l->leading;
    if (l->type == CUDA_R_16BF)
        ((uint16_t *)at)[i] = bf16_round(x);
    else
        ((float *)at)[i] = x;
}

static void multiply(const emulated_product &p, const emulated_layout &a, const void *at_a, const emulated_layout &b,
                     const void *at_b, const emulated_layout &d, void *at_d, float beta)
{
    uint64_t m, n, k;
    const emulated_layout bias = {d.type, d.rows, 1, (int64_t)d.rows};
    extents(&p, &a, &b, &d, &m, &n, &k);
    auto factor = [&](float x) { return p.tf32 ? tf32_round(x) : x; };
    for (uint64_t j = 0; j < n; j++)
        for (uint64_t i = 0; i < m; i++) {
            float sum = 0;
            for (uint64_t l = 0; l < k; l++)
                sum += factor(p.left == CUBLAS_OP_T ? load(&a, at_a, l, i) : load(&a, at_a, i, l)) *
                       factor(p.right == CUBLAS_OP_T ? load(&b, at_b, j, l) : load(&b, at_b, l, j));
            if (beta != 0)
                sum += beta * load(&d, at_d, i, j);
            if (p.epilogue == CUBLASLT_EPILOGUE_BIAS)
                sum += load(&bias, p.bias, i, 0);
            store(&d, at_d, i, j, sum);
        }
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t p, const void *alpha, const void *a,
                              cublasLtMatrixLayout_t of_a, const void *b, cublasLtMatrixLayout_t of_b, const void *beta,
                              const void *c, cublasLtMatrixLayout_t of_c, void *d, cublasLtMatrixLayout_t of_d,
                              const cublasLtMatmulAlgo_t *algorithm, void *workspace, size_t, cudaStream_t stream)
{
    uint64_t m, n, k;
    if (!extents(p, of_a, of_b, of_d, &m, &n, &k) || *(const float *)alpha != 1 || c != d || of_c != of_d)
        return CUBLAS_STATUS_NOT_SUPPORTED;
    if (((uintptr_t)a | (uintptr_t)b | (uintptr_t)d) % algorithm->alignment || (uintptr_t)workspace % 256)
        return CUBLAS_STATUS_INVALID_VALUE;
    emulated_product product = *p;
    emulated_layout x = *of_a, y = *of_b, z = *of_d;
    float keep = *(const float *)beta;
    emulated_enqueue(stream, [=] { multiply(product, x, a, y, b, z, d, keep); });
    return CUBLAS_STATUS_SUCCESS;
}
