/* SPDX-License-Identifier: Apache-2.0 */
/* The decision rule of a run: thresholds of every trial by the kind of its labels, the best trial, tune.json. On validation. */
#pragma once

#include "coordinator/run.h"

/* Own threshold or thresholds, and the metrics at the baseline's, which has to have been through this before. */
int decide_trial(struct run *r, struct trial_run *t, struct error *e);
void decide_print(const struct run *r, const struct trial_run *t); /* the sweep, for people */
void decide_print_temperature(const struct run *r);                /* of the best trial, where one was asked for */
/* Sets order, threshold and thresholds of r. */
int decide_best(struct run *r, struct error *e);
int decide_write(const struct run *r, struct error *e);
/* Sets "temperature" of `to`, and "temperatures" by label's name where labels have their own. */
void decide_temperatures(struct json *to, const struct run *r);
/* "threshold 0.4500", "141 thresholds" or "the most probable class": how rows are decided. Caller frees. */
char *decision_summary(const struct run *r);
