/* SPDX-License-Identifier: Apache-2.0 */
/* One step of training on all ranks: gradients of the local micro-batches summed in the plan's order, all-reduced while backward
 * still runs, one update. All of it is asked of the device; what came of it is told device->ahead steps later (at once: 0), so
 * that the device has work while the host looks. Allocates nothing once it is made. */
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
    bool save;                            /* rank 0: it is time to, after this step */
    void (*before_update)(void *context); /* NULL: nothing; called before this step changes a parameter */
    void *context;
    const struct error *failure; /* of this rank since the last step (kind ERROR_NONE: none): ends training on all ranks */
};

struct step_output {
    uint64_t t; /* the step that is told; 0: none yet, and of what follows there are only the signals */
    uint32_t epoch, rows;
    double lr;
    double loss_sum, weight_sum; /* over all ranks; loss = loss_sum / weight_sum */
    double grad_norm;            /* before clipping */
    uint64_t tokens;
    double seconds, flops; /* from when the step before was done, or this one asked for; of this rank's matrix products */
    bool stop, save;       /* asked for on some rank, now; the same on all */
};

/* ERROR_FAILED, on all ranks, when loss or norm of the step that is told is not finite: neither it nor those that were asked for
 * since have updated anything. */
int stepper_run(struct stepper *s, const struct step_input *in, struct step_output *ret, struct error *e);
/* The next step that was asked for and not told yet, without signals; ret->t 0: all are told, and the device has done them. */
int stepper_next(struct stepper *s, struct step_output *ret, struct error *e);
