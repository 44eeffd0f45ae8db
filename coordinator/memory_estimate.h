/* SPDX-License-Identifier: Apache-2.0 */
/* What training will take of a rank's memory: the worker's own estimate, asked for before anything is trained. */
#pragma once

#include "coordinator/decision/run_data.h"
#include "coordinator/dispatch/dispatch.h"
#include "coordinator/job/run_place.h"
#include "proto/trial.h"

#include <stdbool.h>
#include <stddef.h>

struct memory_estimate {
    size_t weights /* with moments and gradients */, activations; /* bytes of a rank, at most */
};

/* Asks the worker next to this program. False where it cannot tell. Blocks until it has answered. */
bool memory_estimate_ask(struct memory_estimate *ret, const struct trial *t, int ranks);
/* Prints what computes, where that is a GPU of this machine, and what the baseline takes of a rank's memory; not what the worker
 * cannot tell: it says why when it is to train. again: the run was checked before; only its workers will look for a device.
 * Blocks until the worker has answered. ERROR_USAGE, ERROR_FAILED: cluster.device is not to be had where workers start on this
 * machine; the GPU's memory is too small. */
int memory_estimate_print(const struct run_place *place, const struct run_data *data, const struct dispatch_options *workers,
                          bool again, struct error *e);
