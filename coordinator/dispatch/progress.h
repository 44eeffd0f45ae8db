/* SPDX-License-Identifier: Apache-2.0 */
/* What a person sees of the groups at work: on a terminal one bar a group, else a full line for each every 10 seconds. */
#pragma once

#include "proto/message.h"

struct progress;

struct progress_row {
    const char *trial, *group;
    const struct message_beat *beat;
    uint64_t lease; /* a new lease starts a new estimate of the time left */
};

void progress_create(struct progress **ret);
void progress_destroy(struct progress **p); /* takes the bars away */
/* Call as often as you like: shows at most twice a second on a terminal. */
void progress_show(struct progress *p, const struct progress_row *rows, size_t count);

/* Without a terminal and its clock, for tests: the line of one row. `seconds` since the lease's first report, which was at step
 * `first`. */
void progress_line(char *text, size_t size, const struct progress_row *row, double seconds, uint64_t first, int bar_width);
