/* SPDX-License-Identifier: Apache-2.0 */
/* One run, in a directory that is claimed and on workers that may outlive it: what run_until and zoo_run are made of. */
#pragma once

#include "coordinator/dispatch/workers.h"
#include "coordinator/run.h"
#include "coordinator/run_claim.h"

/* The stages of j up to `last`, as run_until. All are borrowed; the workers no longer know the claim's log afterwards. */
int run_on(struct job *j, enum stage last, struct run_claim *claim, struct workers *workers, struct error *e);
