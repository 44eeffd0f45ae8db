/* SPDX-License-Identifier: Apache-2.0 */
/* The swept keys of a job: what may stand there. A key has a list of values, or, where values are drawn (sweep.sample "random"),
 * a range {"from": 1e-6, "to": 1e-4, "log": true}; log: the logarithm is uniform (default: true for lr, false for the others). */
#pragma once

#include "coordinator/job/job_fields.h"

/* The field that a swept key stands for: of "train", or one of the whole job such as seed. NULL: unknown, or it cannot be swept.
 */
const struct job_field *job_swept_field(const char *key);
/* An object of swept keys: ERROR_USAGE with key, what was expected and found, did you mean. */
int job_sweep_check(const struct json *sweep, struct error *e);
bool job_sweep_is_range(const struct json *values);
bool job_sweep_is_log(const char *key, const struct json *range);
