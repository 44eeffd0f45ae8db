/* SPDX-License-Identifier: Apache-2.0 */
/* A muster-worker that holds a bundle's model, or those of several that share a base, and scores rows. One that dies is started
 * again by the next call. Of one thread. */
#pragma once

#include "common/base/error.h"
#include "proto/scoring.h"

struct scoring_worker;

struct scored_bundle {
    const char *path; /* absolute; borrowed, as the rest */
    uint32_t labels;
};

struct scoring_worker_options {
    const struct scored_bundle *bundles; /* (count), copied; several: of one base (bundle_shared_base) */
    size_t count;
    const char *device;
    int threads;
    /* Before it is started again: 0 where the bundle is what it was at first. Others are left out, and their rows refused. */
    int (*check)(void *context, size_t bundle, struct error *e);
    void *context;
};

void scoring_worker_create(struct scoring_worker **ret, const struct scoring_worker_options *o);
void scoring_worker_destroy(struct scoring_worker **w); /* waits for its end: 10 s, then kills it */
/* Starts it unless it runs, and waits until it has loaded. The first error of its own is kept: what another bundle than the one
 * at first has in its place is refused. */
int scoring_worker_start(struct scoring_worker *w, struct error *e);
/* logits (count, labels of the bundle). A worker that dies over it is started again and the rows are sent once more. ERROR_DATA:
 * the model cannot take a row. ERROR_FAILED: no worker does it. */
int scoring_worker_score(struct scoring_worker *w, size_t bundle, const struct scoring_row *rows, uint32_t count, float *logits,
                         struct error *e);
/* From any thread: kills it, and none is started any more: what it computes fails at once. */
void scoring_worker_abandon(struct scoring_worker *w);
const char *scoring_worker_device(const struct scoring_worker *w); /* what computes; "" before the start */
unsigned scoring_worker_restarts(const struct scoring_worker *w);
bool scoring_worker_is_lost(const struct scoring_worker *w); /* it has died, and could not be started again; from any thread */
