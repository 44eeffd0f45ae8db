/* SPDX-License-Identifier: Apache-2.0 */
/* A run: the only caller of stages. Each verb runs the stages up to its own, in order; a stage whose output is there and was made
 * from the same inputs is not done again (events.jsonl says so). */
#pragma once

#include "coordinator/dispatch/dispatch.h"
#include "coordinator/job/job.h"

enum stage { STAGE_CHECK, STAGE_SPLIT, STAGE_TRAIN, STAGE_SWEEP, STAGE_TUNE, STAGE_PUBLISH };

/* workers: launcher and paths are filled in from the job where NULL. Blocks until the stage `last` is done. ERROR_STOPPED after a
 * stop: the same call resumes. */
int run_until(struct job *j, enum stage last, const struct dispatch_options *workers, struct error *e);
