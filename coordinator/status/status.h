/* SPDX-License-Identifier: Apache-2.0 */
/* How far a run is, from its directory alone: events.jsonl, the tail of each running trial's metrics.jsonl, and on the
 * coordinator's host whether its process is there. No socket, no lock, nothing is written: any host that shares the directory may
 * look, as often as it likes, while the run goes on. */
#pragma once

#include "common/json/json.h"
#include "coordinator/events/trial_state.h"

#include <stdint.h>

enum run_state {
    RUN_UNKNOWN, /* a log without a start */
    RUN_RUNNING, /* or so it seems: another host cannot see whether the process is there */
    RUN_ENDED,   /* exit_code says how */
    RUN_DEAD     /* its process is gone and said nothing */
};

extern const char *const trial_state_names[TRIAL_STATES]; /* "queued", ... */

/* Numbers that are not known (yet) are NaN. Texts point into `events`. */
struct status_trial {
    const char *key, *group, *why, *time; /* group: that has it; why: failed or pruned; time: of its last event */
    enum trial_state state;
    double attempt, batch, steps, epochs;                         /* steps: of the whole trial */
    double step, epoch, loss, tokens_per_second, peak_share;      /* of its last line; while running */
    double examples_per_second, quiet;                            /* quiet: seconds since that line was written */
    double validation_loss, f1, best_epoch, epochs_done, seconds; /* f1: micro F1 where labels are many */
    double eta;                                                   /* seconds */
};

struct status_group {
    const char *token, *host, *device, *trial; /* trial NULL: idle */
    double pid, ranks, threads;
    bool gone;
};

struct status {
    struct json *events;
    enum run_state state;
    const char *pid_namespace;      /* in which pid means something, NULL: unknown */
    const char *host, *since, *why; /* of the coordinator; why: an end's words */
    double pid, exit_code, metrics_port;
    const struct json **stages, **deaths; /* events */
    struct status_trial *trials;
    struct status_group *groups;
    size_t stage_count, death_count, trial_count, group_count;
    size_t stage_capacity, death_capacity, trial_capacity, group_capacity;
    size_t in_state[TRIAL_STATES];
    double eta; /* seconds until all trials that are known have ended */
};

/* ERROR_USAGE: no such directory, or no event in it. ERROR_FAILED: events.jsonl is damaged before its last line. */
int status_read(struct status *ret, const char *directory, struct error *e);
void status_free(struct status *s);

bool status_is_score(const struct status_trial *t); /* the winner's, on validation and test: counted nowhere */

/* The whole for people; `rows` lines of it at most (0: all). One line of it. Caller frees. */
char *status_text(const struct status *s, size_t rows);
char *status_line(const struct status *s);
/* For programs; keys are only ever added. Caller destroys.
 *   state      "running" | "done" | "stopped" | "failed" | "dead" | "unknown"
 *   coordinator {host, pid, since, exit_code, why, metrics_port}
 *   stages     name -> time it was done
 *   counts     {queued, running, done, failed, pruned}
 *   eta        seconds
 *   groups     [{group, host, pid, ranks, threads, device, trial, gone}]
 *   trials     key -> {state, group, why, time, attempt, steps, epochs, step, epoch, loss, tokens_per_second, peak_share,
 *              examples_per_second, quiet, validation_loss, f1, best_epoch, epochs_done, seconds, eta}
 *   deaths     [the events group_died: {time, group, host, rank, step, operation, trial, why}]
 *   last       {event, time}
 * What is not known is null. Times are UTC, ISO 8601; durations are seconds. */
struct json *status_json(const struct status *s);
const char *status_word(const struct status *s); /* of the state, as above */
