/* SPDX-License-Identifier: Apache-2.0 */
/* The table of trials: scored on validation, best first; as JSON, as Markdown and for the screen. */
#pragma once

#include "coordinator/sweep/sweep.h"

/* Order of the trials, best first by the job's rule: at the trial's own threshold (tune.per "trial") or at the baseline's. Ties
 * keep the order of the plan; then come trials that the rule's condition rules out, those that were pruned, which are not tuned
 * and so never win, and those that failed. order (count). */
void table_rank(size_t *order, const struct trial_run *trials, size_t count, bool per_trial);
/* The metrics that rank a trial. */
const struct at_threshold *table_ranked_by(const struct trial_run *t, bool per_trial);

struct json *table_to_json(const struct trial_run *trials, const size_t *order, size_t count, const struct job *j);
/* Caller frees. */
char *table_to_markdown(const struct trial_run *trials, const size_t *order, size_t count, const struct job *j);
void table_print(const struct trial_run *trials, const size_t *order, size_t count, const struct job *j);
