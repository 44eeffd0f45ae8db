/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs of the command line; one file each. All return -1 with the error that main prints. */
#pragma once

#include "common/base/options.h"

int verb_init(const struct arguments *a, struct error *e);
int verb_job(const struct arguments *a, struct error *e); /* run, check, split, train, sweep, tune, publish */
int verb_predict(const struct arguments *a, struct error *e);
int verb_evaluate(const struct arguments *a, struct error *e);
int verb_serve(const struct arguments *a, struct error *e);
int verb_rule(const struct arguments *a, struct error *e);
int verb_calibrate(const struct arguments *a, struct error *e);
int verb_status(const struct arguments *a, struct error *e);
int verb_protocol(const struct arguments *a, struct error *e);
int verb_zoo(const struct arguments *a, struct error *e);
int verb_report(const struct arguments *a, struct error *e);
int verb_doctor(const struct arguments *a, struct error *e);
int verb_schema(const struct arguments *a, struct error *e);
int verb_bench(const struct arguments *a, struct error *e);

extern const struct verb verbs[]; /* ended by a row without a name */
extern const struct option init_options[], job_options[], predict_options[], evaluate_options[], calibrate_options[],
    serve_options[], status_options[], report_options[], protocol_options[], zoo_options[];
