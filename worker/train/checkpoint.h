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

/* Rank 0 only. trial: hash of what the trial is (SHA256_HEX). *rest: what is left to do, by a thread of its own: the hashes, the
 * wait for the disk and the swap, and where the device's memory is the host's the writing of the files before that, too. Until it
 * is done the checkpoint before is the last. Pass it to checkpoint_await_copy before parameters change, and to checkpoint_wait
 * before the next save and before the process ends. *rest NULL: all is done; rest NULL: do all. */
int checkpoint_save(const char *directory, struct parameters *p, const struct progress *s, const char *trial,
                    struct checkpoint_rest **rest, struct error *e);
void checkpoint_await_copy(struct checkpoint_rest *rest);            /* until no parameter is read any more; NULL is fine */
int checkpoint_wait(struct checkpoint_rest **rest, struct error *e); /* consumes *rest also on failure; NULL is fine */
bool checkpoint_exists(const char *directory);                       /* whole or damaged */
/* All ranks. The parameters hold what is frozen: checkpoints have only what is trained. *found false: there is none, or only
 * damaged ones (logged as a warning): start from the beginning. A checkpoint of another trial is ERROR_USAGE. */
int checkpoint_load(const char *directory, struct parameters *p, struct progress *ret, bool *found, const char *trial,
                    struct error *e);
int checkpoint_remove(const char *directory, struct error *e); /* rank 0 only; none is fine */
