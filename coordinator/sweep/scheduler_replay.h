/* SPDX-License-Identifier: Apache-2.0 */
/* The scheduler of a run at work: it is told again what events.jsonl knows at each start, and its decisions stand in the events
 * of the epochs they were made at. An epoch decided before is not decided again: what the log says of it holds. The baseline is
 * never stopped, for the table compares with it, and the last epoch of a trial stops nothing. */
#pragma once

#include "coordinator/dispatch/dispatch.h"
#include "coordinator/job/run_place.h"
#include "coordinator/sweep/sweep.h"

struct scheduler_replay;

/* Both are borrowed. */
void scheduler_replay_create(struct scheduler_replay **ret, const struct trials *t, const struct run_place *place);
void scheduler_replay_destroy(struct scheduler_replay **s);
/* Trial i after an epoch, v->metrics filled: sets v->decision, {"scheduler", "stop", "why"}, where the scheduler decides, and
 * v->stop. */
void scheduler_replay_epoch(struct dispatch_decision *v, struct scheduler_replay *s, size_t i, uint32_t epoch);
void scheduler_replay_complete(struct scheduler_replay *s, size_t i); /* trial i ran to its end */
/* "pruned at epoch 2: asha: ..." if that is how the trial ended; NULL: it was not pruned. Caller frees. */
char *scheduler_replay_summary(const struct run_place *place, const struct trial_run *t, uint32_t epochs_done);
/* ", pruned by asha on loss (grace 1, reduction 4)"; "" without a scheduler. Caller frees. */
char *scheduler_replay_description(const struct job *j);
