/* SPDX-License-Identifier: Apache-2.0 */
/* A run or several, from the claim of their directory to the workers' dismissal. */
#include "coordinator/run.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "coordinator/dispatch/mpi_attach.h"
#include "coordinator/job/job_combinations.h"
#include "coordinator/run_on.h"
#include "coordinator/zoo_run.h"

#include <stdio.h>
#include <string.h>

static void fill_workers(struct dispatch_options *o, const struct job *j)
{
    o->device = (enum device_kind)device_kind_find(j->cluster.device);
    o->fast = !strcmp(j->cluster.reduction, "fast");
    o->hostfile = j->cluster.hostfile;
    o->interface = j->cluster.interface;
    o->threads = (int)j->cluster.threads;
    o->serve_metrics = j->cluster.metrics_port != NO_METRICS_PORT;
    o->metrics_port = (int)j->cluster.metrics_port;
    o->heartbeat_timeout = j->cluster.heartbeat_timeout;
    o->restarts = (int)j->cluster.restarts;
    if (o->device == DEVICE_FAKE)
        log_warn("cluster.device is fake: losses and logits are simulated, nothing is learned");
    if (o->launcher != LAUNCHER_UNSET)
        return;
    o->launcher = launcher_kind_find(j->cluster.launcher);
    o->groups = (int)j->cluster.groups;
    o->ranks_per_group = (int)j->cluster.ranks_per_group;
}

/* In the directory that is claimed. */
static int run_claimed(struct job *j, enum stage last, struct run_claim *claim, struct workers *w, struct error *e)
{
    w->options.directory = claim->directory;
    if (w->options.launcher == LAUNCHER_ATTACHED)
        attach_announce(claim->directory);
    return job_combinations(j) > 0 ? zoo_run(j, last, claim, w, e) : run_on(j, last, claim, w, e);
}

int run_until(struct job *j, enum stage last, const struct dispatch_options *workers, struct error *e)
{
    struct workers w = {.options = *workers};
    struct run_claim claim = {0};
    double start = clock_seconds();
    fill_workers(&w.options, j);
    int status = last >= STAGE_TRAIN ? dispatch_check(&w.options, e) : 0;
    if (status == 0)
        status = run_claim_open(&claim, j, e);
    if (status == 0)
        status = run_claimed(j, last, &claim, &w, e);
    if (status == 0)
        printf("\n%.1f s\n", clock_seconds() - start);
    int exit_code = status == 0 || !e ? 0 : (int)e->kind;
    run_claim_note_end(&claim, exit_code, status == 0 ? NULL : e);
    workers_dismiss(&w, exit_code);
    run_claim_close(&claim);
    return status;
}
