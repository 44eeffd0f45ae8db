/* SPDX-License-Identifier: Apache-2.0 */
/* Declarations of this instruction set's and act type's kernels, for the table that names them. */
#pragma once

#include "worker/device/kernels/kernels.h"

void KERNEL(few_rows)(const struct few_rows *p);
size_t KERNEL(amx_packed)(size_t columns, size_t depth);
size_t KERNEL(amx_panel)(size_t depth);
size_t KERNEL(amx_scratch)(size_t rows, size_t columns, size_t depth);
void KERNEL(amx_pack_across)(const struct amx_packing *p, size_t from, size_t to);
void KERNEL(amx_pack_down)(const struct amx_packing *p, size_t from, size_t to);
void KERNEL(amx_pack_turned)(const struct amx_packing *p, size_t from, size_t to);
void KERNEL(amx_product)(const struct amx_product *p);
void KERNEL(bias_activation)(const struct epilogue *e);
void KERNEL(activation_backward)(void *dpre, void *y, const void *dy, const void *pre, enum activation activation, size_t n);
void KERNEL(gated_forward)(void *y, const void *pre, enum activation activation, size_t n, size_t F);
void KERNEL(gated_backward)(void *dpre, void *y, const void *dy, const void *pre, enum activation activation, size_t n, size_t F);
void KERNEL(rotate)(void *x, const float *turn, float sign, size_t heads, size_t D);
void KERNEL(mean)(void *y, const void *x, size_t n, size_t C, size_t from, size_t to);
void KERNEL(mean_backward)(void *dx, const void *dy, size_t n, size_t C);
void KERNEL(store_scaled)(void *y, const void *x, float scale, int add, size_t n);
void KERNEL(store_product)(void *y, const float *product, int add, size_t n);
void KERNEL(column_sums)(float *sums, const void *x, size_t rows, size_t columns, size_t from, size_t to);
void KERNEL(widen)(float *y, const void *x, size_t n);
void KERNEL(round)(void *y, const float *x, size_t n);
void KERNEL(dropout)(void *y, const void *x, const struct mask *mask, int add, size_t from, size_t to, size_t C);
void KERNEL(normalize)(const struct layer_norm *l, const void *x, const void *z, size_t from, size_t to);
void KERNEL(embed)(const struct layer_norm *l, const int32_t *const ids[3], const float *const tables[3], size_t from, size_t to);
void KERNEL(normalize_backward)(const struct norm_gradient *g, float *dgamma, float *dbeta, size_t from, size_t to);
void KERNEL(scatter_add)(float *y, const void *x, const int32_t *places, size_t T, size_t C, size_t from, size_t to);
size_t KERNEL(attention_scratch)(size_t n, size_t D, size_t half);
void KERNEL(attention_forward)(const struct attention *a, size_t row, size_t head, void *scratch);
void KERNEL(attention_backward)(const struct attention *a, size_t row, size_t head, void *scratch);
size_t KERNEL(relative_scratch)(const struct relative_attention *r, size_t n);
void KERNEL(relative_forward)(const struct relative_attention *r, size_t row, size_t head, void *scratch);
void KERNEL(relative_backward)(const struct relative_attention *r, size_t row, size_t head, float *dkeys, float *dqueries,
                               void *scratch);
void KERNEL(projected_spread)(const struct projected_attention *p, size_t row, size_t head);
void KERNEL(projected_score)(const struct projected_attention *p, size_t row, size_t from, size_t to);
void KERNEL(projected_soften)(const struct projected_attention *p, size_t row, size_t head);
void KERNEL(projected_slope)(const struct projected_attention *p, size_t row, size_t head);
void KERNEL(projected_gather)(const struct projected_attention *p, size_t row, size_t from, size_t to);
void KERNEL(projected_output)(const struct projected_attention *p, size_t row, size_t head);
void KERNEL(projected_gradient)(const struct projected_attention *p, size_t head);
void KERNEL(projected_input)(const struct projected_attention *p, size_t row, size_t from, size_t to);
void KERNEL(classifier)(float *logits, const void *x, const float *w, const float *bias, size_t B, size_t C, size_t L);
void KERNEL(classifier_input)(void *dx, const float *dlogits, const float *w, size_t B, size_t C, size_t L);
void KERNEL(classifier_weight)(float *dw, float *dbias, const float *dlogits, const void *x, size_t B, size_t C, size_t L);
void KERNEL(add)(float *y, const float *x, size_t n);
double KERNEL(sum_of_squares)(const float *x, size_t n);
void KERNEL(adamw)(float *p, void *shadow, const float *g, float *m, float *v, const struct adamw *a, float scale, size_t n);
void KERNEL(scale)(float *p, float factor, size_t n);
