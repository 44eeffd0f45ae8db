/* SPDX-License-Identifier: Apache-2.0 */
/* The TF-IDF baseline of a run: fitted on the train rows' texts, scored on validation and test. */
#pragma once

#include "coordinator/run.h"

#define BASELINE_EPOCH 1 /* under which its logits are written */

/* Writes <out>/baseline.h5 (logits of both parts, as the task's link takes them) unless the one that is there was made from the
 * same things. *about: what it is, for baseline.json: made_from, settings, features, rows, seconds, the heaviest terms of each
 * label; or "skipped" with the reason, where the data does not carry a baseline. *made: false if it was done before. */
int baseline_make(struct json **about, bool *made, struct run *r, struct error *e);
char *baseline_path(const struct run *r); /* of the logits; caller frees */
