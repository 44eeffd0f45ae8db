/* SPDX-License-Identifier: Apache-2.0 */
/* The claim of a run directory by a job: its lock and log, and for who watches, that a coordinator is at work and how it ended. A
 * new directory hears of the start once there is something that is done: a job that fails before can be mended, and does not
 * claim the directory. */
#pragma once

#include "coordinator/events/event_log.h"
#include "coordinator/job/job.h"

struct run_claim {
    char *directory; /* absolute */
    struct event_log *log;
    bool noted; /* that it has started */
};

/* ERROR_USAGE as job_claim_directory and event_log_open. run_claim_close also after an error. */
int run_claim_open(struct run_claim *ret, struct job *j, struct error *e);
int run_claim_note_start(struct run_claim *c, struct error *e); /* once */
/* If the start was noted. why: NULL, or the error that ended it with exit_code. */
void run_claim_note_end(struct run_claim *c, int exit_code, const struct error *why);
void run_claim_close(struct run_claim *c);

/* Does the log say that `stage` is done with these inputs? */
bool run_claim_was_done(const struct run_claim *c, const char *stage, const char *made_from);
int run_claim_remember(struct run_claim *c, const char *stage, const char *made_from, struct error *e); /* unless it does */
