/* SPDX-License-Identifier: Apache-2.0 */
/* One job for several models and choices of text fields, "sweep": {"model": [...], "fields": [[...], ...]}: each combination is a
 * run of its own, which has the other swept keys as its grid. */
#pragma once

#include "coordinator/job/job.h"

/* 0: the job is a single run. */
size_t job_combinations(const struct job *j);
/* ERROR_USAGE: what no combination can have, or names that cannot be told apart. */
int job_combinations_check(const struct job *j, struct error *e);
/* What the n-th is called, fields fastest: "rubert-base-cased_title-snippet". It depends on its model and fields, and on the
 * other models only where two have the same last name. Caller frees. */
char *job_combination_name(const struct job *j, size_t n);
size_t job_combination_model_number(const struct job *j, size_t n); /* in sweep.model */
/* Borrowed of the job: its model, and the list of its fields (NULL: all). */
const char *job_combination_model(const struct job *j, size_t n);
const struct json *job_combination_fields(const struct job *j, size_t n);
bool job_combination_has(const struct json *fields, const char *name);
