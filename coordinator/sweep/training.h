/* SPDX-License-Identifier: Apache-2.0 */
/* The training of trials through dispatch. */
#pragma once

#include "coordinator/dispatch/workers.h"
#include "coordinator/sweep/trials.h"

/* Trains trials[first .. first + count) that are not done: the baseline first, then the longest (by epochs, since all trials
 * share the tokens of an epoch; of as many epochs those of smaller batches, which take more steps), so that the last groups to
 * finish do so at about the same time. A trial that failed stays failed and says why; only if none of those asked for is done is
 * that an error. ERROR_STOPPED after a stop. Blocks until all have ended. */
int trials_train(struct trials *t, size_t first, size_t count, const struct run_place *place, const struct run_data *data,
                 struct workers *workers, struct error *e);
