/* SPDX-License-Identifier: Apache-2.0 */
/* split.folds: each configuration is trained once a fold, validated on the rows of that fold, and known by its out-of-fold
 * predictions: those of every row of train and validation by the model that has not seen it. */
#pragma once

#include "coordinator/decision/decision.h"
#include "coordinator/dispatch/workers.h"
#include "coordinator/job/run_place.h"
#include "coordinator/sweep/sweep.h"

/* The trials to train: of each configuration (t->list) one a fold, in this order, key <configuration>_fold-1 and so on. t's own
 * are marked as gathered. Both borrow from data. */
void cross_validation_plan(struct trials *ret, struct trials *t, const struct job *j, const struct run_data *data);
/* Configuration t from its trials (data->fold_count): t->logits holds the out-of-fold logits of all epochs that every fold has,
 * and t->best_epoch is chosen on these. Where a fold failed, t fails and says which; where one has not run, t stays queued. */
int cross_validation_gather(struct trial_run *t, const struct trial_run *folds, const struct run_data *data, struct error *e);
/* t->fold_metrics: each fold's rows at the thresholds and temperatures that were tuned on all out-of-fold rows. */
int cross_validation_score(struct trial_run *t, const struct trial_run *folds, const struct decision *d, size_t i,
                           const struct run_data *data, const struct job *j, struct error *e);
/* By publish.of: trains the chosen configuration t on all rows for its best epoch's number of epochs, or takes the fold that is
 * best by train.select. Sets t's weights, directory and
 * weights_identity to those of that training. *origin: "all 204 rows of train and
 * validation", "fold 2 of 5"; caller frees. */
int cross_validation_weights(struct trial_run *t, char **origin, const struct trial_run *folds, const struct run_place *place,
                             const struct run_data *data, struct workers *workers, struct error *e);
