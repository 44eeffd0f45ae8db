/* SPDX-License-Identifier: Apache-2.0 */
/* Tuning: thresholds and temperatures of every trial by the kind of its labels, the best trial, tune.json. On validation. */
#pragma once

#include "coordinator/decision/decision.h"
#include "coordinator/decision/run_data.h"

/* Tunes d->trials[i]: its own threshold or thresholds, and the metrics at the baseline's, which has to have been through this
 * before. */
int decide_trial(struct decision *d, size_t i, const struct run_data *data, const struct job *j, struct error *e);
/* Sets order, thresholds and temperatures of d. ERROR_FAILED if no trial meets the rule. */
int decide_best(struct decision *d, const struct job *j, struct error *e);
/* Writes <directory>/tune.json. */
int decide_write(const struct decision *d, const struct run_data *data, const struct job *j, const char *directory,
                 struct error *e);
/* For people: a trial's sweep of thresholds; the best trial's temperature, where one was asked for. */
void decide_print(const struct tuned_trial *t, const struct run_data *data, const struct job *j);
void decide_print_temperature(const struct decision *d, const struct job *j, uint32_t labels);
