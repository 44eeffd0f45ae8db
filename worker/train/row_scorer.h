/* SPDX-License-Identifier: Apache-2.0 */
/* The model of a bundle, or those of several whose base is one (bundle_shared_base) and held once, ready to score rows as they
 * come. A row's logits are those that a score of a whole file gives it (the
 * same bits), with whatever rows it shares a batch. */
#pragma once

#include "common/format/dataset.h"
#include "worker/device/device.h"

struct row_scorer;

/* Reads the weights. `d` is borrowed, and rows_alone from now on. ERROR_DATA. */
int row_scorer_create(struct row_scorer **ret, struct device *d, const char *const *bundles, size_t count, struct error *e);
void row_scorer_destroy(struct row_scorer **s);
uint32_t row_scorer_labels(const struct row_scorer *s, size_t model);
/* logits f32 (count, labels). Blocks while it computes. ERROR_DATA: a row that the model cannot take. */
int row_scorer_run(struct row_scorer *s, size_t model, const struct token_row *rows, uint32_t count, float *logits,
                   struct error *e);
