/* SPDX-License-Identifier: Apache-2.0 */
/* Packs rows of a data set for the network: back to back, no padding. Memory on host and device is taken once, for the limits;
 * packing allocates nothing. */
#pragma once

#include "common/format/dataset.h"
#include "worker/nn/packed.h"

struct batch;

struct batch_limits {
    size_t tokens, rows; /* of one packed batch */
    size_t words;        /* distinct ones of one step; 0: for evaluation only */
};

/* What batches of `micro_batch` rows, in steps of `batch`, can come to at most, whatever the order of the rows. */
struct batch_limits batch_limits(const struct dataset *data, size_t vocabulary, const uint32_t *rows, uint32_t count,
                                 uint32_t batch, uint32_t micro_batch);

int batch_create(struct batch **ret, struct device *d, const struct dataset *data /* borrowed; NULL: batch_pack_tokens only */,
                 const struct model_config *c /* borrowed */, const struct batch_limits *limits, struct error *e);
void batch_destroy(struct batch **b);
/* Gives the distinct words of a whole step (the rows of ALL ranks, so that compact word gradients line up) slots in ascending
 * order; returns how many. */
size_t batch_words(struct batch *b, const uint32_t *rows, uint32_t count);
device_memory batch_slot_of(const struct batch *b); /* i32 (V) of the last batch_words: slot, or -1 */
/* The rows in device memory, valid until the next call. Slots are those of the last batch_words (none before the first: U = 0).
 */
const struct packed *batch_pack(struct batch *b, const uint32_t *rows, uint32_t count);
/* Rows that are in no data set, numbered from 0. */
const struct packed *batch_pack_tokens(struct batch *b, const struct token_row *rows, uint32_t count);
