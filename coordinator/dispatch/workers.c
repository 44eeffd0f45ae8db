/* SPDX-License-Identifier: Apache-2.0 */
/* The workers of a run. */
#include "coordinator/dispatch/workers.h"

int workers_need(struct workers *w, struct event_log *log, struct error *e)
{
    return w->dispatch ? dispatch_follow(w->dispatch, log, e) : dispatch_create(&w->dispatch, &w->options, log, e);
}

void workers_leave(struct workers *w)
{
    struct error ignored;
    if (w->dispatch)
        dispatch_follow(w->dispatch, NULL, &ignored);
}

void workers_dismiss(struct workers *w, int exit_code)
{
    dispatch_destroy(&w->dispatch, exit_code);
}
