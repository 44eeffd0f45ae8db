/* SPDX-License-Identifier: Apache-2.0 */
/* The TF-IDF baseline of a run: fitted on the train rows' texts, scored on validation and test. */
#pragma once

#include "common/json/json.h"
#include "coordinator/decision/run_data.h"
#include "coordinator/job/run_place.h"
#include "coordinator/sweep/sweep.h"

#define BASELINE_EPOCH 1 /* under which its logits are written */

/* Writes <out>/baseline.h5 (logits of both parts, as the task's link takes them) unless the one that is there was made from the
 * same things. trial: the first, whose class weights the loss has. *about: what it is, for baseline.json: made_from, settings,
 * features, rows, seconds, the heaviest terms of each label; or "skipped" with the reason, where the data does not carry a
 * baseline. *made: false if it was done before. */
int baseline_make(struct json **about, bool *made, const struct run_place *place, const struct run_data *data,
                  const struct trial_run *trial, struct error *e);
char *baseline_path(const struct run_place *place); /* of the logits; caller frees */
