/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernels of attention work on. */
#pragma once

#include "worker/device/cuda/dropout.cuh"

/* Queries against the keys and values of their row: all of a packed batch, or the first of each row alone (first_only). Strides
 * are in elements. log_sum f32 (H,N), delta f32 (H,N): dy . y, of backward. A window, a bias by distance and dropout may be
 * absent. */
struct attention {
    const void *q, *k, *v, *y, *dy; /* act */
    void *out;                      /* y of forward, act (N,C) */
    void *dq, *dk, *dv;             /* act, strides as of q, k, v */
    float *log_sum, *delta;
    size_t q_stride, kv_stride;
    const int *offsets;
    int B, T, N, H, D; /* N: queries */
    bool first_only;
    int half; /* of the window; 0: all is seen */
    bool sees_first;
    float scale;
    const void *bias_keys, *bias_queries; /* act (S,C) */
    void *dbias_keys, *dbias_queries;
    size_t bias_stride;
    const int *places;
    int reach, S;
    struct dropout_mask dropout;
};

/* Row of a token: the last whose first token is not behind it. Rows are not empty. */
DEVICE int attention_row(const struct attention &a, int token)
{
    int low = 0, high = a.B - 1;
    while (low < high) {
        int middle = (low + high + 1) / 2;
        if (a.offsets[middle] <= token)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

DEVICE bool attention_sees(const struct attention &a, int i, int j)
{
    int away = i > j ? i - j : j - i;
    return !a.half || away <= a.half || (a.sees_first && j == 0);
}

/* --- on the host: what is asked for here runs on the stream, in order --- */

/* Whether the tensor cores' way can do it; if not, the plain one can, for D <= 256. half: act is bf16. */
bool attention_has_tiles(const struct attention *a, bool half);
void attention_forward_tiles(const struct attention *a, cudaStream_t stream);
/* Takes delta, and sums: f32 (T,C), zeros. */
void attention_backward_tiles(const struct attention *a, float *sums, cudaStream_t stream);
void attention_forward_plain(const struct attention *a, bool half, cudaStream_t stream);
/* Makes delta, as the tiles' way needs it. */
void attention_make_delta(const struct attention *a, bool half, cudaStream_t stream);
/* dq, dk, dv, and of a bias what is not NULL; takes delta. */
void attention_backward_plain(const struct attention *a, bool half, cudaStream_t stream);
