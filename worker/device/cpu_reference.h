/* SPDX-License-Identifier: Apache-2.0 */
/* The reference device: plain C, one thread, sums in double. It defines what is right; the others are tested against it. */
#pragma once

#include "worker/device/device.h"

int cpu_reference_create(struct device **ret, enum precision precision, int threads, struct error *e);
void cpu_reference_describe(const struct device *d, char *text, size_t size);

/* Its operations, by file. */
void reference_embedding_forward(struct device *d, device_memory y, device_memory sum, device_memory statistics,
                                 device_memory ids, device_memory positions, device_memory types, device_memory word,
                                 device_memory position, device_memory type, device_memory gamma, device_memory beta,
                                 float epsilon, const struct dropout *dropout, size_t T, size_t C);
void reference_embedding_backward(struct device *d, device_memory dword, device_memory dposition, device_memory dtype,
                                  device_memory dgamma, device_memory dbeta, device_memory dy, device_memory sum,
                                  device_memory statistics, device_memory slots, device_memory positions, device_memory types,
                                  device_memory gamma, const struct dropout *dropout, size_t T, size_t C, size_t U, size_t P,
                                  size_t type_count);
void reference_normalize_forward(struct device *d, device_memory y, device_memory sum, device_memory statistics, device_memory x,
                                 device_memory z, device_memory gamma, device_memory beta, float epsilon,
                                 const struct dropout *dropout, size_t N, size_t C);
void reference_normalize_backward(struct device *d, device_memory dx, device_memory dz, device_memory dgamma, device_memory dbeta,
                                  device_memory dy, device_memory sum, device_memory statistics, device_memory gamma,
                                  const struct dropout *dropout, size_t N, size_t C);
void reference_dropout_apply(struct device *d, device_memory y, device_memory x, const struct dropout *dropout, int add,
                             size_t N, size_t C);

void reference_linear_forward(struct device *d, device_memory y, device_memory pre, device_memory x, device_memory w,
                              device_memory bias, enum activation activation, size_t N, size_t K, size_t O);
void reference_linear_backward(struct device *d, device_memory dx, device_memory dw, device_memory dbias, device_memory dy,
                               device_memory x, device_memory w, int add_dx, size_t N, size_t K, size_t O);
void reference_activation_backward(struct device *d, device_memory dpre, device_memory y, device_memory dy, device_memory pre,
                                   enum activation activation, size_t n);

void reference_attention_forward(struct device *d, device_memory y, device_memory log_sum, device_memory qkv,
                                 device_memory offsets, const struct dropout *dropout, size_t B, size_t T, size_t H, size_t D);
void reference_attention_backward(struct device *d, device_memory dqkv, device_memory dy, device_memory y, device_memory qkv,
                                  device_memory log_sum, device_memory offsets, const struct dropout *dropout, size_t B, size_t T,
                                  size_t H, size_t D);
void reference_projected_attention_forward(struct device *d, device_memory y, device_memory log_sum, device_memory q,
                                           device_memory x, device_memory w, device_memory bias, device_memory offsets,
                                           const struct dropout *dropout, size_t B, size_t T, size_t H, size_t D);
void reference_projected_attention_backward(struct device *d, device_memory dq, device_memory dx, device_memory dw,
                                            device_memory dbias, device_memory dy, device_memory y, device_memory q,
                                            device_memory x, device_memory w, device_memory bias, device_memory log_sum,
                                            device_memory offsets, const struct dropout *dropout, size_t B, size_t T, size_t H,
                                            size_t D);
void reference_first_attention_forward(struct device *d, device_memory y, device_memory log_sum, device_memory q,
                                       device_memory kv, device_memory offsets, const struct dropout *dropout, size_t B, size_t T,
                                       size_t H, size_t D);
void reference_first_attention_backward(struct device *d, device_memory dq, device_memory dkv, device_memory dy, device_memory y,
                                        device_memory q, device_memory kv, device_memory log_sum, device_memory offsets,
                                        const struct dropout *dropout, size_t B, size_t T, size_t H, size_t D);

void reference_gated_forward(struct device *d, device_memory y, device_memory pre, enum activation activation, size_t N,
                             size_t F);
void reference_gated_backward(struct device *d, device_memory dpre, device_memory y, device_memory dy, device_memory pre,
                              enum activation activation, size_t N, size_t F);
void reference_rotate(struct device *d, device_memory x, device_memory positions, float theta, int backward, size_t T,
                      size_t heads, size_t D, size_t stride);
void reference_window_attention_forward(struct device *d, device_memory y, device_memory log_sum, device_memory qkv,
                                        device_memory offsets, const struct attention_window *window,
                                        const struct dropout *dropout, size_t B, size_t T, size_t H, size_t D);
void reference_window_attention_backward(struct device *d, device_memory dqkv, device_memory dy, device_memory y,
                                         device_memory qkv, device_memory log_sum, device_memory offsets,
                                         const struct attention_window *window, const struct dropout *dropout, size_t B, size_t T,
                                         size_t H, size_t D);
void reference_relative_attention_forward(struct device *d, device_memory y, device_memory log_sum, device_memory qkv,
                                          device_memory offsets, const struct relative_bias *bias, const struct dropout *dropout,
                                          size_t B, size_t T, size_t H, size_t D);
void reference_relative_attention_backward(struct device *d, device_memory dqkv, device_memory dkeys, device_memory dqueries,
                                           device_memory dy, device_memory y, device_memory qkv, device_memory log_sum,
                                           device_memory offsets, const struct relative_bias *bias, const struct dropout *dropout,
                                           size_t B, size_t T, size_t H, size_t D);
void reference_first_relative_attention_forward(struct device *d, device_memory y, device_memory log_sum, device_memory q,
                                                device_memory kv, device_memory offsets, const struct relative_bias *bias,
                                                const struct dropout *dropout, size_t B, size_t T, size_t H, size_t D);
void reference_first_relative_attention_backward(struct device *d, device_memory dq, device_memory dkv, device_memory dkeys,
                                                 device_memory dqueries, device_memory dy, device_memory y, device_memory q,
                                                 device_memory kv, device_memory log_sum, device_memory offsets,
                                                 const struct relative_bias *bias, const struct dropout *dropout, size_t B,
                                                 size_t T, size_t H, size_t D);
void reference_residual_normalize_backward(struct device *d, device_memory dx, device_memory dz, device_memory dgamma,
                                           device_memory dbeta, device_memory dy, device_memory sum, device_memory statistics,
                                           device_memory gamma, const struct dropout *dropout, size_t N, size_t C);
void reference_mean_tokens(struct device *d, device_memory y, device_memory x, device_memory offsets, size_t B, size_t C);
void reference_mean_tokens_backward(struct device *d, device_memory dx, device_memory dy, device_memory offsets, size_t B,
                                    size_t C);
void reference_replace_first_tokens(struct device *d, device_memory x, device_memory y, device_memory offsets, size_t B,
                                    size_t C);

void reference_first_tokens(struct device *d, device_memory y, device_memory x, device_memory offsets, size_t B, size_t C);
void reference_first_tokens_backward(struct device *d, device_memory dx, device_memory dy, device_memory offsets, size_t B,
                                     size_t T, size_t C);
void reference_classifier_forward(struct device *d, device_memory logits, device_memory x, device_memory w, device_memory bias,
                                  size_t B, size_t C, size_t L);
void reference_classifier_backward(struct device *d, device_memory dx, device_memory dw, device_memory dbias,
                                   device_memory dlogits, device_memory x, device_memory w, size_t B, size_t C, size_t L);
void reference_cross_entropy(struct device *d, device_memory loss, device_memory dlogits, device_memory logits,
                             device_memory classes, device_memory weights, const struct loss_shape *shape, size_t B, size_t L);
void reference_binary_cross_entropy(struct device *d, device_memory loss, device_memory dlogits, device_memory logits,
                                    device_memory targets, device_memory positive_weights, const struct loss_shape *shape,
                                    size_t B, size_t L);

void reference_scale_columns(struct device *d, device_memory y, size_t y_stride, device_memory x, size_t x_stride, float scale,
                             int add, size_t N, size_t O);
void reference_add(struct device *d, device_memory y, device_memory x, size_t n);
void reference_sum_of_squares(struct device *d, device_memory sum, device_memory x, size_t n);
void reference_loss_sums(struct device *d, device_memory sums, device_memory bad, device_memory losses, size_t n, size_t each);
void reference_clip(struct device *d, device_memory control, device_memory sum, device_memory bad, double divisor, double clip);
void reference_adamw(struct device *d, device_memory p, device_memory shadow, device_memory g, device_memory m, device_memory v,
                     const struct adamw *a, device_memory control, size_t n);
void reference_adamw_rows(struct device *d, device_memory p, device_memory g, device_memory m, device_memory v,
                          device_memory seen, device_memory slot_of, const struct adamw *a, device_memory control, size_t V,
                          size_t C);
void reference_widen_activation(struct device *d, device_memory y, device_memory x, size_t n);
void reference_round_to_activation(struct device *d, device_memory y, device_memory x, size_t n);
