/* SPDX-License-Identifier: Apache-2.0 */
/* Runs one lease on this group's ranks: all ranks call trainer_run with the same trial, in lockstep. Decides nothing: after each
 * epoch rank 0 asks the observer for a decision, which all ranks apply at the same step. */
#pragma once

#include "proto/trial.h"
#include "worker/comm/communicator.h"
#include "worker/device/device.h"

struct step_report {
    uint64_t step, steps;   /* of the whole trial, 1-based */
    uint32_t epoch, epochs; /* 1-based */
    double loss;            /* of this step: sum of weighted losses / sum of weights, over all ranks */
    double lr, grad_norm, tokens_per_second, examples_per_second;
    double peak_share; /* matrix products of this rank, against the rate measured of its device; 0: not measured */
};

struct epoch_report {
    uint32_t epoch;
    double train_loss;  /* over the epoch, same definition */
    const char *logits; /* path of logits.h5, already holding the validation logits of this epoch */
};

struct epoch_decision {
    bool best;     /* keep this epoch's weights as the trial's result */
    bool stop;     /* no further epoch */
    char *metrics; /* JSON text for the epoch's line in metrics.jsonl ("validation"), or NULL; allocated, freed by the trainer */
};

/* Called on the training thread: step on every rank, epoch on rank 0 only. Ranks other than 0 may have none (NULL). */
struct observer {
    void *context;
    void (*step)(void *context, const struct step_report *r);
    int (*epoch)(void *context, const struct epoch_report *r, struct epoch_decision *ret, struct error *e);
};

struct trainer_result {
    uint32_t epochs_done, best_epoch;
    uint64_t steps, tokens;
    double seconds;
    char *best_weights; /* path of best.safetensors; freed by caller */
};

/* stop_requested() on any rank: all ranks save at the same step and return ERROR_STOPPED. */
int trainer_run(struct trainer_result *ret, const struct trial *t, struct device *d, struct communicator *c,
                const struct observer *o, struct error *e);
/* TRIAL_SCORE, all ranks: writes directory/logits.h5, as epoch 1, for each part that the trial names. ERROR_STOPPED as above. */
int scorer_run(const struct trial *t, struct device *d, struct communicator *c, const struct observer *o, struct error *e);
