/* SPDX-License-Identifier: Apache-2.0 */
/* Logits of rows: packed batches by a budget of tokens, rows of one length together. Batches are composed from the rows alone and
 * batch i is computed by rank i mod R, so logits do not depend on the number of ranks; each row is scored exactly once. */
#pragma once

#include "worker/comm/communicator.h"
#include "worker/nn/model.h"
#include "worker/train/source.h"

struct evaluator;

/* Tokens and rows of its largest batch: what the model must be made for. */
void evaluator_limits(const struct source *s, size_t *tokens, size_t *rows);
/* All borrowed, as long as the evaluator lives. */
int evaluator_create(struct evaluator **ret, struct device *d, struct communicator *c, struct model *m, const struct source *s,
                     struct error *e);
void evaluator_destroy(struct evaluator **ev);
/* All ranks. logits f32 (count,L), in the order of `rows`: written on rank 0 (others may pass NULL). batch (NULL allowed) is
 * called after each round with the batches that are done. A stop asked on any rank is ERROR_STOPPED on all. */
int evaluator_run(struct evaluator *ev, const uint32_t *rows, uint32_t count, float *logits,
                  void (*batch)(void *context, uint64_t done, uint64_t all), void *context, struct error *e);
/* Sum of weighted losses over sum of weights of those logits, in the order of `rows`; NaN when the rows have no labels. */
double evaluate_loss(const struct source *s, const struct trial *t, const uint32_t *rows, uint32_t count, const float *logits);
