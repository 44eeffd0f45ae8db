/* SPDX-License-Identifier: Apache-2.0 */
/* results.h5: the logits of every finished trial, by row id, in one file. */
#pragma once

#include "coordinator/bundle/test_score.h"

/* Unless the file is there and holds them. score: of the winner; NULL before it is scored. */
int results_merge(const struct run_place *place, const struct run_data *data, const struct trials *trials,
                  const struct trial_run *winner, const struct test_score *score, struct error *e);
