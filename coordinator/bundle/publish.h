/* SPDX-License-Identifier: Apache-2.0 */
/* The bundle: a model directory that transformers loads, with its decision rule, its metrics and where it comes from; and the
 * same as .zip. */
#pragma once

#include "coordinator/run.h"

/* Writes <out>/bundle and <out>/<name>.zip, unless they are there and were made from the same things. *made: false if so. */
int publish(const struct run *r, bool *made, struct error *e);

/* inference_config.json without its labels and its history: a function of the run's results. Caller destroys. */
struct json *inference_config(const struct run *r);
/* README.md. Caller frees. */
char *model_card(const struct run *r, const struct json *inference);
