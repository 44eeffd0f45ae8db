/* Which rows make a step, which rank computes them, and in which order gradients are added: functions of the job alone.
 *
 * Epoch order: rows of the train part sorted by philox(seed, RANDOM_SHUFFLE, row, 0, 0, epoch) (64 bits; ties by row). A step takes the next
 * `batch` rows; the last step of an epoch may be shorter. Its micro-batches are runs of `micro_batch` rows, numbered j = 0..M-1.
 *
 * Order of summation (architecture.md rule 5): micro-batch j is leaf j of a binary tree whose levels are the BITS of j, high bit nearest the leaves:
 * with P = M rounded up to a power of two, sum(bits fixed: low b) = sum(next bit 0) + sum(next bit 1); an absent leaf is zero. Rank r of R (a
 * power of two) computes the micro-batches j with j mod R = r, so its own subtree is complete; between ranks, partners differ first in the highest bit
 * of the rank, last in bit 0. Hence 1, 2, 4 ranks add the same numbers in the same order. More ranks than micro-batches is refused. */
#pragma once

#include "common/base/error.h"

#include <stddef.h>
#include <stdint.h>

struct plan;

int plan_create(struct plan **ret, const uint32_t *rows, uint32_t count, uint64_t seed, uint32_t batch, uint32_t micro_batch, struct error *e);
void plan_destroy(struct plan **p);
uint64_t plan_steps_per_epoch(const struct plan *p);
/* Rows of step s (0-based within the epoch), borrowed until the next call with another epoch. */
const uint32_t *plan_step(struct plan *p, uint32_t epoch, uint64_t s, uint32_t *count);
