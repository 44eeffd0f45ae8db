/* SPDX-License-Identifier: Apache-2.0 */
/* One step of training on all ranks: gradients of the local micro-batches summed in the plan's order, all-reduced while backward
 * still runs, one update. Allocates nothing once it is made. */
#pragma once

#include "worker/comm/communicator.h"
#include "worker/nn/model.h"
#include "worker/train/batch.h"
#include "worker/train/source.h"

struct stepper;

/* Borrowed as long as the stepper lives. ERROR_USAGE if there are more ranks than micro-batches in a step. */
int stepper_create(struct stepper **ret, const struct trial *t, const struct source *s, struct device *d, struct communicator *c,
                   struct parameters *p, struct model *m, const struct batch_limits *limits /* those the model was made for */,
                   struct error *e);
void stepper_destroy(struct stepper **s);
/* Gradient arenas that a stepper on this rank takes. */
uint32_t stepper_arenas(const struct trial *t, const struct communicator *c);

struct step_input {
    const uint32_t *rows; /* of the whole step */
    uint32_t count, epoch;
    uint64_t t; /* number of this step in the trial, 1-based */
    double lr;
    bool save;                   /* rank 0: it is time to */
    const struct error *failure; /* of this rank since the last step (kind ERROR_NONE: none): ends the step on all ranks */
};

struct step_output {
    double loss_sum, weight_sum; /* over all ranks; loss = loss_sum / weight_sum */
    double grad_norm;            /* before clipping */
    uint64_t tokens;
    bool stop, save; /* asked for on some rank; the same on all */
};

/* ERROR_FAILED, on all ranks, when loss or norm is not finite: nothing has been updated then. */
int stepper_run(struct stepper *s, const struct step_input *in, struct step_output *ret, struct error *e);
