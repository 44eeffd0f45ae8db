/* SPDX-License-Identifier: Apache-2.0 */
/* Trials of a run: what is finished already, and the leases that train and score them. */
#pragma once

#include "coordinator/decision/decision.h"
#include "coordinator/decision/run_data.h"
#include "coordinator/job/run_place.h"
#include "coordinator/sweep/sweep.h"
#include "proto/trial.h"

/* Gives every trial its identity and directory, and takes up what events.jsonl says is finished and is still there. */
int trials_prepare(struct trials *t, const struct run_place *place, const struct run_data *data, struct error *e);
/* The lease that fine-tunes (score false) or that scores validation and test with t's best weights. trial_free ends it. */
void trials_lease(struct trial *ret, const struct run_place *place, const struct run_data *data, const struct trial_run *t,
                  bool score);
char *trials_path(const struct run_place *place, const char *key); /* <out>/trials/<key>, absolute; caller frees */
/* Last event of this name about the trial; NULL if it speaks of a trial made from other things. */
const struct json *trials_event(const struct run_place *place, const struct trial_run *t, const char *event);
/* Scores the trial's first `count` epochs on validation, into t->epochs. */
int trials_score_epochs(struct trial_run *t, const struct run_data *data, uint32_t count, struct error *e);
struct candidate trials_candidate(const struct trial_run *t); /* borrows from t */
