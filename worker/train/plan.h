/* SPDX-License-Identifier: Apache-2.0 */
/* Which rows make a step, which rank computes them, and in which order gradients are added: functions of the job alone.
 *
 * Epoch order: rows of the train part sorted by philox(seed, RANDOM_SHUFFLE, row, 0, 0, epoch) (64 bits: word 1 above word 0;
 * ties by row; epochs count from 1). A step takes the next `batch` rows; the last step of an epoch may be shorter. Its
 * rows are assigned to micro-batches of `micro_batch` rows, numbered j = 0..M-1, so that each has about as many tokens
 * (balance.h).
 *
 * Order of summation (architecture.md rule 5): micro-batch j is leaf j of a binary tree whose levels are the BITS of j, high bit
 * nearest the leaves: with P = M rounded up to a power of two, sum(bits fixed: low b) = sum(next bit 0) + sum(next bit 1); an
 * absent leaf is zero. Rank r of R (a power of two) computes the micro-batches j with j mod R = r, so its own subtree is
 * complete; between ranks, partners differ first in the highest bit of the rank, last in bit 0. Hence 1, 2, 4 ranks add the same
 * numbers in the same order. More ranks than micro-batches is refused. */
#pragma once

#include "common/base/error.h"

#include <stddef.h>
#include <stdint.h>

struct plan;

int plan_create(struct plan **ret, const uint32_t *rows, uint32_t count, uint64_t seed, uint32_t batch, uint32_t micro_batch,
                struct error *e);
void plan_destroy(struct plan **p);
uint64_t plan_steps_per_epoch(const struct plan *p);
/* Rows of step s (0-based within the epoch), borrowed until the next call with another epoch. */
const uint32_t *plan_step(struct plan *p, uint32_t epoch, uint64_t s, uint32_t *count);

/* What one rank does with the M micro-batches of a step, so that its part of the tree is summed in few arenas: turn i computes
 * `micro_batch` into `arena`, then adds the two newest sums `additions` times: arena to arena - 1, arena - 1 to arena - 2, and so
 * on. After the last turn all is in arena 0. */
struct plan_turn {
    uint32_t micro_batch; /* j */
    uint32_t arena;       /* that its gradient is written to */
    uint32_t additions;
};

/* The turns of this rank: 0 when the step has fewer micro-batches than ranks. */
uint32_t plan_turn_count(uint32_t micro_batches, int rank, int size);
/* Fills ret (plan_turn_count of them) in one pass: time proportional to their number. */
void plan_turns(struct plan_turn *ret, uint32_t micro_batches, int rank, int size);
/* Arenas that a step of so many micro-batches takes on this rank, at least 1; a shorter step takes no more. */
uint32_t plan_arenas(uint32_t micro_batches, int rank, int size);
