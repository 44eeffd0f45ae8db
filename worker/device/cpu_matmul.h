/* SPDX-License-Identifier: Apache-2.0 */
/* Matrix products of the cpu device, by oneDNN: c (M,N) = or += a b, summed over K, c in float. Each call is one thread's work.
 */
#pragma once

#include "worker/device/kernels/kernels.h"

#include <stdbool.h>
#include <stddef.h>

struct matmul;

enum { PRODUCT_FORWARD /* x w^T */, PRODUCT_INPUT /* dy w */, PRODUCT_WEIGHT /* dy^T x */, PRODUCT_KINDS };

struct matrix_product {
    int kind;
    const void *a,
        *b; /* float, or bf16 where matmul_takes_bf16; rows of a, b and c as they are stored, `stride` elements apart */
    float *c;
    size_t a_stride, b_stride, c_stride;
    size_t M, N, K;
    bool add;        /* float only */
    bool rows_alone; /* PRODUCT_FORWARD, float only: a row of c has the same bits whatever M is, wherever the row stands, and
                        in one product or in several of columns that begin at multiples of 16 */
};

/* few_rows: of this machine's kernels. */
int matmul_create(struct matmul **ret, int threads, bool bf16, void (*few_rows)(const struct few_rows *p));
void matmul_destroy(struct matmul **m);         /* NULL-safe */
bool matmul_takes_bf16(const struct matmul *m); /* else its factors are float */
/* To be called inside a parallel region, or with OpenMP set to one thread; part 0..threads - 1 belongs to the caller. 0, or
 * oneDNN's status. K = 0 gives zeros. */
int matmul_run(struct matmul *m, size_t part, const struct matrix_product *p);
const char *matmul_version(char *text, size_t size);
