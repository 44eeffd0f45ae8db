/* SPDX-License-Identifier: Apache-2.0 */
/* The adapter that training goes on from. */
#pragma once

#include "coordinator/data/base_head.h"
#include "coordinator/job/job.h"

/* Whether j->adapter is one of the model at `directory`, by its digest, names and shapes, for a job of so many labels. The head
 * is the adapter's, unless train.head is "new". Blocks while it reads. ERROR_DATA; ERROR_USAGE: LoRA is to go on from another
 * kind of adapter. */
int base_adapter_head(struct base_head *ret, const struct job *j, const char *directory, uint32_t labels, struct error *e);
