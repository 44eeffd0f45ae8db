/* SPDX-License-Identifier: Apache-2.0 */
/* How well probabilities order rows, whatever the threshold, as scikit-learn computes it. R rows, L labels. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct ranking {
    double best_f1; /* at the best of all thresholds, one for all labels */
    double average_precision,
        macro_average_precision; /* average_precision_score; micro: of all labels together; 0 of no positive */
    double roc_auc; /* roc_auc_score: mean over the labels that some rows have and some lack; NaN where there is none */
};

/* All 0 and NaN where a probability is NaN. O(R L log(R L)). */
void ranking_metrics(struct ranking *ret, const double *probability /* (R,L) */, const uint8_t *truth /* (R,L) 0 or 1 */,
                     size_t rows, size_t labels);
