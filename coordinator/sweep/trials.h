/* SPDX-License-Identifier: Apache-2.0 */
/* Trials of a run: what is finished already, and the training of the rest through dispatch. */
#pragma once

#include "coordinator/run.h"

/* Gives every trial its identity and directory, and takes up what events.jsonl says is finished and is still there. */
int trials_prepare(struct run *r, struct error *e);
/* Trains trials[first .. first + count) that are not done: the baseline first, then the longest (by epochs, since all trials
 * share the tokens of an epoch; of as many epochs those of smaller batches, which take more steps), so that the last groups to
 * finish do so at about the same time. A trial that failed stays failed and says why; only if none of those asked for is done is
 * that an error. ERROR_STOPPED after a stop. */
int trials_train(struct run *r, size_t first, size_t count, struct error *e);
/* Starts nothing by itself: makes r->dispatch if it is not there. */
int trials_need_dispatch(struct run *r, struct error *e);
/* The lease that fine-tunes (score false) or that scores validation and test with t's best weights. trial_free ends it. */
void trials_lease(struct trial *ret, const struct run *r, const struct trial_run *t, bool score);
char *trials_path(const struct run *r, const char *key); /* <out>/trials/<key>, absolute; caller frees */
