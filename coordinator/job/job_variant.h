/* SPDX-License-Identifier: Apache-2.0 */
/* What a trial makes of its job: other values of swept keys, and a name for them. */
#pragma once

#include "common/base/lora_bias.h"
#include "coordinator/job/job.h"

/* A variant of j with other values of swept keys (object: key without "train." -> value, checked by the table). Borrows from j
 * and must not be freed. */
int job_variant(struct job *ret, const struct job *j, const struct json *values, struct error *e);
/* The train keys and values of j, as job_data_options has those of data. Caller destroys. */
struct json *job_train_options(const struct job *j);
char *job_freeze(const struct job *j); /* train.freeze, separated by blanks; NULL: nothing. Caller frees */
bool job_is_lora(const struct job *j); /* train.method */
enum lora_bias job_lora_bias(const struct job *j);
char *job_lora_targets(const struct job *j); /* as job_freeze; NULL: all */
bool job_is_focal(const struct job *j);      /* train.loss */
/* "learning rate 2e-05 (cosine, warmup 0.1), batch 8, weight decay 0.01, f32; focal loss (gamma 2), label smoothing 0.1". Caller
 * frees. */
char *job_training_summary(const struct job *j);
/* "lr-1e-05_epochs-4" and then "_key-value" for each other key of `values` (may be NULL), in table order. Caller frees. */
char *job_trial_key(const struct job *j, const struct json *values);

/* What follows from a trial's values, and whether ranks and micro-batches fit together (ERROR_USAGE). */
void job_derive_micro_batch(struct job *j);
int job_check_ranks(const struct job *j, struct error *e);
