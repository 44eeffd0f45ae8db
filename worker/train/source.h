/* SPDX-License-Identifier: Apache-2.0 */
/* What a trial works on: data set, parts and the model's configuration, opened and checked against each other. */
#pragma once

#include "common/format/model_config.h"
#include "common/format/split.h"
#include "proto/trial.h"
#include "worker/nn/parameters.h"
#include "worker/train/plan.h"

struct source {
    struct dataset *data;
    struct split split;         /* without a file: all rows are PART_TEST */
    struct model_config config; /* of the trial's model, with the trial's labels and dropout */
    struct tuning tuning;       /* what is trained */
};

/* Rows, labels and model against each other. ERROR_DATA naming the row: a token id beyond the vocabulary, more tokens than it has
 * positions, a class out of range. */
int source_check(const struct source *s, const struct trial *t, struct error *e);
int source_open(struct source *ret, const struct trial *t, struct error *e);
void source_close(struct source *s);
/* By part: what a TRIAL_SCORE asks for. */
void source_wanted(bool wanted[PART_COUNT], const struct trial *t);
/* The steps of a TRIAL_TRAIN. ERROR_DATA: no rows to train on, or none to validate on. */
int source_plan(struct plan **ret, const struct source *s, const struct trial *t, struct error *e);
/* Weight of a row in a loss: of its class, or the number of labels when multi-label. */
double source_weight(const struct source *s, const struct trial *t, uint32_t row);
