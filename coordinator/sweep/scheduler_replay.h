/* SPDX-License-Identifier: Apache-2.0 */
/* The scheduler of a run at work: it is told again what events.jsonl knows at each start, and its decisions stand in the events
 * of the epochs they were made at. An epoch judged before is not judged again: what the log says of it holds. The baseline is
 * never stopped, for the table compares with it, and the last epoch of a trial stops nothing. */
#pragma once

#include "coordinator/run.h"

struct pruning;

void pruning_create(struct pruning **ret, const struct run *r /* borrowed */);
void pruning_destroy(struct pruning **p);
/* Trial i of the run after an epoch, v->metrics filled: sets v->decision, {"scheduler", "stop", "why"}, where the scheduler
 * judges, and v->stop. */
void pruning_judge(struct dispatch_decision *v, struct pruning *p, size_t i, uint32_t epoch);
void pruning_complete(struct pruning *p, size_t i); /* trial i ran to its end */
/* "pruned at epoch 2: asha: ..." if that is how the trial ended; NULL: it was not pruned. Caller frees. */
char *pruning_summary(const struct run *r, const struct trial_run *t, uint32_t epochs_done);
/* ", pruned by asha on loss (grace 1, reduction 4)"; "" without a scheduler. Caller frees. */
char *pruning_description(const struct job *j);
