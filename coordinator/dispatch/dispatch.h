/* SPDX-License-Identifier: Apache-2.0 */
/* Gives trials to worker groups as leases and follows them to their end: control socket (CURVE), connection file (<run
 * directory>/connection.json, 0600), groups (alive while their heartbeats come) and, through cluster/, the processes it started.
 * One thread: observers are called inside dispatch_run, which blocks until all trials have ended. */
#pragma once

#include "common/base/device_kind.h"
#include "common/base/launcher_kind.h"
#include "coordinator/events/event_log.h"
#include "proto/trial.h"

#include <stdint.h>

struct dispatch_options {
    const char *directory; /* run directory, absolute; where connection.json goes */
    const char *worker;    /* path of muster-worker */
    enum launcher_kind launcher;
    enum device_kind device;
    bool fast;                            /* GPUs sum by NCCL's all-reduce, in no order of ours */
    const char *hostfile;                 /* of LAUNCHER_MPIRUN; NULL: the SLURM allocation */
    const char *interface;                /* where to listen, see cluster/interface.h; NULL: chosen */
    int ranks_on_host;                    /* of LAUNCHER_ATTACHED on several hosts; 0: all are here */
    int groups, ranks_per_group, threads; /* threads a rank; 0: cores of a host / ranks, at least 1 */
    double heartbeat_timeout;             /* seconds */
    bool serve_metrics;
    int metrics_port; /* of 127.0.0.1; 0: any */
    int restarts;     /* of a trial whose group died, before it is given up */
};

struct dispatch_result {
    uint32_t epochs_done, best_epoch;
    uint64_t steps, tokens;
    double seconds;
    char *best_weights; /* absolute path, borrowed; NULL for a score */
};

/* What follows from an epoch. dispatch frees both objects; they may be NULL. */
struct dispatch_decision {
    bool best, stop;
    struct json *metrics;  /* the worker adds them to the trial's metrics.jsonl */
    struct json *decision; /* why the trial stops or goes on, for events.jsonl: written before it is sent to the worker */
};

struct dispatch_observer {
    void *context;
    /* After an epoch of trials[i]: its validation logits are in its directory. May come again for an epoch that was
     * decided before (its group died before it could save): the logits are then the same. */
    int (*epoch)(void *context, size_t i, uint32_t epoch, double train_loss, struct dispatch_decision *ret, struct error *e);
    /* trials[i] is done or, with result NULL, given up after `restarts` deaths or an error of its own, which is in why. */
    int (*ended)(void *context, size_t i, const struct dispatch_result *result, const struct error *why, struct error *e);
};

struct dispatch;

/* Could groups be started with these options? ERROR_USAGE: a host file with a typo, too few slots, no such interface, .... */
int dispatch_check(const struct dispatch_options *options, struct error *e);
/* Starts nothing yet: groups are started by the first dispatch_run that needs them and live until destroy. */
int dispatch_create(struct dispatch **ret, const struct dispatch_options *options,
                    struct event_log *log /* borrowed, may be NULL (predict) */, struct error *e);
/* From now on the groups work for the run of this log (borrowed; NULL: none): those that are there are written into it. */
int dispatch_follow(struct dispatch *d, struct event_log *log, struct error *e);
/* Runs all trials (each once; up to `groups` at a time, in order), until all have ended. ERROR_STOPPED after stop_requested():
 * all workers have saved. A trial that fails does not end the others; only if every trial failed is it an error (the first one).
 * o: NULL for trials that only score. */
int dispatch_run(struct dispatch *d, const struct trial *trials, size_t count, const struct dispatch_observer *o,
                 struct error *e);
/* Tells the workers to end with `exit_code`, waits for processes it started (10 s, then kills), removes connection.json. */
void dispatch_destroy(struct dispatch **d, int exit_code);
