/* SPDX-License-Identifier: Apache-2.0 */
/* One of a job's combinations (job_combinations.h) as a job of its own. */
#pragma once

#include "coordinator/job/job.h"

/* The n-th as a job: of its name, in <out>/models/<name>, with its model and fields, on the rows of split_file. A field that it
 * leaves out is in neither text; data.required stays. Caller frees it by job_free. ERROR_USAGE. */
int job_combination(struct job *ret, const struct job *j, size_t n, const char *split_file, struct error *e);
