/* SPDX-License-Identifier: Apache-2.0 */
/* Products of matrices of a linear map, by cuBLASLt. Row-major x (N,K), w (O,K), y (N,O). Same shapes: same bits, on every call.
 */
#pragma once

#include "worker/device/cuda/cuda_device.h"

enum product {
    PRODUCT_FORWARD, /* y = x w^T + bias */
    PRODUCT_INPUT,   /* dx = or += dy w */
    PRODUCT_WEIGHT   /* dw (f32) = dy^T x */
};

struct matmul; /* plans by shape, and a workspace */

/* Starts cuBLASLt on the current GPU. */
int matmul_create(struct matmul **ret, enum precision precision, struct error *e);
void matmul_destroy(struct matmul **m); /* NULL-safe */

/* left and right: as they stand in the formula above; bias: act (O), or NULL. All but dw are act. Errors stick to the device. */
void cuda_multiply(struct cuda *c, enum product kind, void *to, const void *left, const void *right, const void *bias, bool add,
                   size_t N, size_t K, size_t O);
