/* SPDX-License-Identifier: Apache-2.0 */
/* Where a run works. */
#pragma once

#include "coordinator/job/job.h"

struct event_log;

/* All borrowed from whoever runs the stages. */
struct run_place {
    const struct job *job;
    const char *directory, *model; /* absolute */
    struct event_log *log;
};
