/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the table of this instruction set's and act type's kernels. */
#include "worker/device/kernels/names.h"

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

const struct kernels KERNEL(kernels) = {
    .isa = TEXT(ISA),
    .description = ISA_DESCRIPTION,
    .precision = ACT_IS_BF16 ? PRECISION_BF16 : PRECISION_F32,
    .bias_activation = KERNEL(bias_activation),
    .activation_backward = KERNEL(activation_backward),
    .gated_forward = KERNEL(gated_forward),
    .gated_backward = KERNEL(gated_backward),
    .rotate = KERNEL(rotate),
    .mean = KERNEL(mean),
    .mean_backward = KERNEL(mean_backward),
    .store_scaled = KERNEL(store_scaled),
    .store_product = KERNEL(store_product),
    .column_sums = KERNEL(column_sums),
    .widen = KERNEL(widen),
    .round = KERNEL(round),
    .dropout = KERNEL(dropout),
    .normalize = KERNEL(normalize),
    .embed = KERNEL(embed),
    .normalize_backward = KERNEL(normalize_backward),
    .scatter_add = KERNEL(scatter_add),
    .attention_scratch = KERNEL(attention_scratch),
    .attention_forward = KERNEL(attention_forward),
    .attention_backward = KERNEL(attention_backward),
    .relative_scratch = KERNEL(relative_scratch),
    .relative_forward = KERNEL(relative_forward),
    .relative_backward = KERNEL(relative_backward),
    .classifier = KERNEL(classifier),
    .classifier_input = KERNEL(classifier_input),
    .classifier_weight = KERNEL(classifier_weight),
    .add = KERNEL(add),
    .sum_of_squares = KERNEL(sum_of_squares),
    .adamw = KERNEL(adamw),
    .scale = KERNEL(scale),
};
