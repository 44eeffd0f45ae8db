/* SPDX-License-Identifier: Apache-2.0 */
/* The workers of a run: none until something has to be computed, then the same ones for all its stages, and for the next run of a
 * job that has several. */
#pragma once

#include "coordinator/dispatch/dispatch.h"

struct workers {
    struct dispatch_options options;
    struct dispatch *dispatch; /* NULL: not needed yet */
};

/* Makes w->dispatch unless it is there. log: borrowed until workers_leave or the end. */
int workers_need(struct workers *w, struct event_log *log, struct error *e);
/* The run of that log is over; the workers stay. */
void workers_leave(struct workers *w);
/* Blocks as dispatch_destroy does. */
void workers_dismiss(struct workers *w, int exit_code);
