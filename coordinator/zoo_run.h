/* SPDX-License-Identifier: Apache-2.0 */
/* A job for several models and choices of fields (job_combinations.h): the rows, their labels and parts are frozen once, in
 * <out>/protocol.json or as split.file has them; each combination is a run on them, in <out>/models/<name>; then <out>/zoo.json,
 * zoo.md and zoo.html compare them, and <out>/bundle and <out>/<name>.zip are links to what the best one on validation has
 * published. All share the same workers. */
#pragma once

#include "coordinator/run_on.h"

/* Each up to the stage `last`; the table and the links with STAGE_PUBLISH. Every combination's data and model are checked before
 * the first one trains; one that fails then does not end the others, but is the error (the first one's). What is done is not
 * done again. */
int zoo_run(struct job *j, enum stage last, struct run_claim *claim, struct workers *workers, struct error *e);
