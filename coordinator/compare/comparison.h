/* SPDX-License-Identifier: Apache-2.0 */
/* The chosen transformer beside other models on test: the TF-IDF baseline, both together, and which labels need no person. */
#pragma once

#include "coordinator/decision/decision.h"
#include "coordinator/decision/run_data.h"
#include "coordinator/job/run_place.h"
#include "coordinator/sweep/sweep.h"

struct comparison_source {
    const struct run_place *place;
    const struct run_data *data;
    const struct trial_run *baseline; /* the first trial */
    const struct decision *decision;
    const char *logits; /* of the winner on validation and test: path */
    int epoch;          /* under which they stand there */
};

/* By the job's report keys: writes baseline.json, ensemble.json, automatable.json (many labels a row), and says on standard
 * output which model wins on test. */
int comparison_make(const struct comparison_source *s, struct error *e);
