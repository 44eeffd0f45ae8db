/* SPDX-License-Identifier: Apache-2.0 */
/* evaluation.json: what the chosen rule is worth on validation and TEST beside the plain 0.5 and the one threshold for all, with
 * intervals; metrics only. All thresholds come from the run and are changed by nothing here. */
#pragma once

#include "coordinator/bundle/test_score.h"

/* Writes <out>/evaluation.json from the scored logits and prints the comparison on test. */
int evaluation_write(const struct run_place *place, const struct run_data *data, const struct decision *decision,
                     const struct test_score *score, struct error *e);
