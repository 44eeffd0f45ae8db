/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of the cpu device, for its own files. */
#pragma once

#include "worker/device/cpu.h"
#include "worker/device/host.h"
#include "worker/device/kernels/kernels.h"

struct matmul; /* cpu_matmul.h */

enum { SCRATCH_PRODUCT, SCRATCH_WIDE_A, SCRATCH_WIDE_B, SCRATCH_WIDE_C, SCRATCH_PARTS, SCRATCH_ATTENTION, SCRATCH_COUNT };

struct cpu {
    struct device base;
    const struct kernels *kernels;
    struct matmul *matmul;
    struct {
        void *memory;
        size_t bytes;
    } scratch[SCRATCH_COUNT];
    struct error failure; /* sticky */
};

static inline struct cpu *cpu_of(struct device *d)
{
    return (struct cpu *)d;
}

/* Memory of this kind of use, 64-byte aligned, valid until its next request. It grows to the largest need and stays. NULL: the
 * failure has been noted. */
void *cpu_scratch(struct cpu *c, int use, size_t bytes);
void cpu_fail(struct cpu *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Tokens of the longest row; 0 of none. */
size_t cpu_longest_row(const int32_t *offsets, size_t B);
/* Behind so many activations of m. */
void *cpu_behind(const struct cpu *c, device_memory m, size_t elements);

/* The dropout as kernels take it: &m, or NULL without. */
const struct mask *mask_of(struct mask *m, const struct dropout *dropout);

void cpu_linear_forward(struct device *d, device_memory y, device_memory pre, device_memory x, device_memory w,
                        device_memory bias, enum activation activation, size_t N, size_t K, size_t O);
void cpu_linear_backward(struct device *d, device_memory dx, device_memory dw, device_memory dbias, device_memory dy,
                         device_memory x, device_memory w, int add_dx, size_t N, size_t K, size_t O);

/* The same by the tiles of AMX, where c's kernels have them. */
void cpu_amx_forward(struct cpu *c, device_memory y, device_memory pre, device_memory x, device_memory w, device_memory bias,
                     enum activation activation, size_t N, size_t K, size_t O);
void cpu_amx_backward(struct cpu *c, device_memory dx, device_memory dw, device_memory dbias, device_memory dy, device_memory x,
                      device_memory w, int add_dx, size_t N, size_t K, size_t O);

void cpu_embedding_forward(struct device *d, device_memory y, device_memory sum, device_memory statistics, device_memory ids,
                           device_memory positions, device_memory types, device_memory word, device_memory position,
                           device_memory type, device_memory gamma, device_memory beta, float epsilon,
                           const struct dropout *dropout, size_t T, size_t C);
void cpu_embedding_backward(struct device *d, device_memory dword, device_memory dposition, device_memory dtype,
                            device_memory dgamma, device_memory dbeta, device_memory dy, device_memory sum,
                            device_memory statistics, device_memory slots, device_memory positions, device_memory types,
                            device_memory gamma, const struct dropout *dropout, size_t T, size_t C, size_t U, size_t P,
                            size_t type_count);
void cpu_normalize_forward(struct device *d, device_memory y, device_memory sum, device_memory statistics, device_memory x,
                           device_memory z, device_memory gamma, device_memory beta, float epsilon, const struct dropout *dropout,
                           size_t N, size_t C);
void cpu_normalize_backward(struct device *d, device_memory dx, device_memory dz, device_memory dgamma, device_memory dbeta,
                            device_memory dy, device_memory sum, device_memory statistics, device_memory gamma,
                            const struct dropout *dropout, size_t N, size_t C);
void cpu_dropout_apply(struct device *d, device_memory y, device_memory x, const struct dropout *dropout, int add, size_t N,
                       size_t C);

void cpu_attention_forward(struct device *d, device_memory y, device_memory log_sum, device_memory qkv, device_memory offsets,
                           const struct dropout *dropout, size_t B, size_t T, size_t H, size_t D);
void cpu_attention_backward(struct device *d, device_memory dqkv, device_memory dy, device_memory y, device_memory qkv,
                            device_memory log_sum, device_memory offsets, const struct dropout *dropout, size_t B, size_t T,
                            size_t H, size_t D);
void cpu_first_attention_forward(struct device *d, device_memory y, device_memory log_sum, device_memory q, device_memory kv,
                                 device_memory offsets, const struct dropout *dropout, size_t B, size_t T, size_t H, size_t D);
void cpu_first_attention_backward(struct device *d, device_memory dq, device_memory dkv, device_memory dy, device_memory y,
                                  device_memory q, device_memory kv, device_memory log_sum, device_memory offsets,
                                  const struct dropout *dropout, size_t B, size_t T, size_t H, size_t D);

void cpu_projected_attention_forward(struct device *d, device_memory y, device_memory log_sum, device_memory q, device_memory x,
                                     device_memory w, device_memory bias, device_memory offsets, const struct dropout *dropout,
                                     size_t B, size_t T, size_t H, size_t D);
void cpu_projected_attention_backward(struct device *d, device_memory dq, device_memory dx, device_memory dw, device_memory dbias,
                                      device_memory dy, device_memory y, device_memory q, device_memory x, device_memory w,
                                      device_memory bias, device_memory log_sum, device_memory offsets,
                                      const struct dropout *dropout, size_t B, size_t T, size_t H, size_t D);

void cpu_gated_forward(struct device *d, device_memory y, device_memory pre, enum activation activation, size_t N, size_t F);
void cpu_gated_backward(struct device *d, device_memory dpre, device_memory y, device_memory dy, device_memory pre,
                        enum activation activation, size_t N, size_t F);
void cpu_rotate(struct device *d, device_memory x, device_memory positions, float theta, int backward, size_t T, size_t heads,
                size_t D, size_t stride);
void cpu_window_attention_forward(struct device *d, device_memory y, device_memory log_sum, device_memory qkv,
                                  device_memory offsets, const struct attention_window *window, const struct dropout *dropout,
                                  size_t B, size_t T, size_t H, size_t D);
void cpu_window_attention_backward(struct device *d, device_memory dqkv, device_memory dy, device_memory y, device_memory qkv,
                                   device_memory log_sum, device_memory offsets, const struct attention_window *window,
                                   const struct dropout *dropout, size_t B, size_t T, size_t H, size_t D);
void cpu_relative_attention_forward(struct device *d, device_memory y, device_memory log_sum, device_memory qkv,
                                    device_memory offsets, const struct relative_bias *bias, const struct dropout *dropout,
                                    size_t B, size_t T, size_t H, size_t D);
void cpu_relative_attention_backward(struct device *d, device_memory dqkv, device_memory dkeys, device_memory dqueries,
                                     device_memory dy, device_memory y, device_memory qkv, device_memory log_sum,
                                     device_memory offsets, const struct relative_bias *bias, const struct dropout *dropout,
                                     size_t B, size_t T, size_t H, size_t D);
void cpu_first_relative_attention_forward(struct device *d, device_memory y, device_memory log_sum, device_memory q,
                                          device_memory kv, device_memory offsets, const struct relative_bias *bias,
                                          const struct dropout *dropout, size_t B, size_t T, size_t H, size_t D);
void cpu_first_relative_attention_backward(struct device *d, device_memory dq, device_memory dkv, device_memory dkeys,
                                           device_memory dqueries, device_memory dy, device_memory y, device_memory q,
                                           device_memory kv, device_memory log_sum, device_memory offsets,
                                           const struct relative_bias *bias, const struct dropout *dropout, size_t B, size_t T,
                                           size_t H, size_t D);
void cpu_residual_normalize_backward(struct device *d, device_memory dx, device_memory dz, device_memory dgamma,
                                     device_memory dbeta, device_memory dy, device_memory sum, device_memory statistics,
                                     device_memory gamma, const struct dropout *dropout, size_t N, size_t C);
void cpu_mean_tokens(struct device *d, device_memory y, device_memory x, device_memory offsets, size_t B, size_t C);
void cpu_mean_tokens_backward(struct device *d, device_memory dx, device_memory dy, device_memory offsets, size_t B, size_t C);

void cpu_sum_of_squares(struct device *d, device_memory sum, device_memory x, size_t n);
void cpu_clip(struct device *d, device_memory control, device_memory sum, device_memory bad, double divisor, double clip);
void cpu_add(struct device *d, device_memory y, device_memory x, size_t n);
void cpu_adamw(struct device *d, device_memory p, device_memory shadow, device_memory g, device_memory m, device_memory v,
               const struct adamw *a, device_memory control, size_t n);
void cpu_adamw_rows(struct device *d, device_memory p, device_memory g, device_memory m, device_memory v, device_memory seen,
                    device_memory slot_of, const struct adamw *a, device_memory control, size_t V, size_t C);
void cpu_widen_activation(struct device *d, device_memory y, device_memory x, size_t n);
void cpu_round_to_activation(struct device *d, device_memory y, device_memory x, size_t n);
void cpu_activation_backward(struct device *d, device_memory dpre, device_memory y, device_memory dy, device_memory pre,
                             enum activation activation, size_t n);
