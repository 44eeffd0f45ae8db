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
/* Prints one line, of the baseline. Nothing where the worker cannot tell: it says why when it is to train. Blocks until the
 * worker has answered. */
void memory_estimate_print(const struct run_place *place, const struct run_data *data, const struct dispatch_options *workers);
