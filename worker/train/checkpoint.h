/* SPDX-License-Identifier: Apache-2.0 */
/* directory/checkpoint/{model,optimizer}.safetensors + state.json: where a trial stands. The set is replaced as one: written
 * beside, then swapped by renames; the one before stays as checkpoint.old until the trial is finished, in case the last
 * one is damaged. World-size free: whole tensors, no shards by rank. */
#pragma once

#include "worker/nn/parameters.h"

struct progress {
    uint32_t epoch;                   /* under way, 1-based */
    uint64_t step;                    /* of its steps, how many are done; all: its validation is what comes next */
    bool finished;                    /* nothing is left to do */
    uint32_t epochs_done, best_epoch; /* best 0: none yet */
    uint64_t steps, tokens;           /* of the whole trial */
    double loss_sum, weight_sum;      /* of this epoch so far */
    double seconds;
};

struct checkpoint_rest;

/* Rank 0 only. trial: hash of what the trial is (SHA256_HEX). Parameters may change once it returns: their files are written,
 * though not to the disk yet. *rest: that, hashes and the swap, by a thread of its own; pass it to checkpoint_wait before the
 * next save and before the process ends. Until then the checkpoint before is the last. NULL: all is done; rest NULL: do all. */
int checkpoint_save(const char *directory, struct parameters *p, const struct progress *s, const char *trial,
                    struct checkpoint_rest **rest, struct error *e);
int checkpoint_wait(struct checkpoint_rest **rest, struct error *e); /* consumes *rest also on failure; NULL is fine */
bool checkpoint_exists(const char *directory); /* whole or damaged */
/* All ranks. The parameters hold what is frozen: checkpoints have only what is trained. *found false: there is none, or only
 * damaged ones (logged as a warning): start from the beginning. A checkpoint of another trial is ERROR_USAGE. */
int checkpoint_load(const char *directory, struct parameters *p, struct progress *ret, bool *found, const char *trial,
                    struct error *e);
int checkpoint_remove(const char *directory, struct error *e); /* rank 0 only; none is fine */
