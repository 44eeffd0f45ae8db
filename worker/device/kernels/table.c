/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the table of this instruction set's and act type's kernels. */
#include "worker/device/kernels/amx.h"
#include "worker/device/kernels/names.h"

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

const struct kernels KERNEL(kernels) = {
    .isa = TEXT(ISA),
    .description = ISA_DESCRIPTION,
    .precision = ACT_IS_BF16 ? PRECISION_BF16 : PRECISION_F32,
    .few_rows = KERNEL(few_rows),
#ifdef HAS_AMX
    .amx_packed = KERNEL(amx_packed),
    .amx_panel = KERNEL(amx_panel),
    .amx_scratch = KERNEL(amx_scratch),
    .amx_pack_across = KERNEL(amx_pack_across),
    .amx_pack_down = KERNEL(amx_pack_down),
    .amx_pack_turned = KERNEL(amx_pack_turned),
    .amx_product = KERNEL(amx_product),
#endif
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
    .projected_spread = KERNEL(projected_spread),
    .projected_score = KERNEL(projected_score),
    .projected_soften = KERNEL(projected_soften),
    .projected_slope = KERNEL(projected_slope),
    .projected_gather = KERNEL(projected_gather),
    .projected_output = KERNEL(projected_output),
    .projected_gradient = KERNEL(projected_gradient),
    .projected_input = KERNEL(projected_input),
    .classifier = KERNEL(classifier),
    .classifier_input = KERNEL(classifier_input),
    .classifier_weight = KERNEL(classifier_weight),
    .add = KERNEL(add),
    .sum_of_squares = KERNEL(sum_of_squares),
    .adamw = KERNEL(adamw),
    .scale = KERNEL(scale),
};
