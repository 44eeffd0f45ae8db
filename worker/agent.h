/* SPDX-License-Identifier: Apache-2.0 */
/* A worker group at work: rank 0 takes leases from the coordinator and all ranks run them together, until the coordinator ends
 * it. A lease that fails is reported and the next one taken, as long as the ranks of the group can still communicate. */
#pragma once

#include "worker/train/trainer.h"

#include <stddef.h>

/* What runs a lease. */
struct agent_work {
    int (*train)(struct trainer_result *ret, const struct trial *t, struct device *d, struct communicator *c,
                 const struct observer *o, struct error *e);
    int (*score)(const struct trial *t, struct device *d, struct communicator *c, const struct observer *o, struct error *e);
    int (*open)(struct device **ret, const char *name, enum precision precision, int threads, struct error *e);
    void (*describe)(const struct device *d, char *text, size_t size);
    double (*measure)(const struct device *d); /* its peak, GFLOPS, once before it trains first; NULL: not measured */
};
extern const struct agent_work agent_training; /* trainer_run, scorer_run, device_create, device_describe, device_peak */
extern const struct agent_work agent_fake;     /* device "fake": scripted losses, see fake.c */

struct agent_options {
    const char *connection; /* path of the connection file */
    const char *device;     /* name for device_create */
    const char *group;      /* token; NULL: one is made */
    int threads;            /* of this rank */
    const char *trace; /* rank 0: file for the group's trace (a group but the first puts its number in the name); NULL: none */
};

/* All ranks. 0 and *exit_code: ended on request (75 if stopped by a signal of its own, or left by the coordinator). -1: the group
 * could not start, on all ranks. When its ranks have lost each other it reports that, to the coordinator too, and ends them
 * (communicator abort). */
int agent_run(int *exit_code, const struct agent_options *o, const struct agent_work *w, struct communicator *c, struct error *e);
