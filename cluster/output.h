/* SPDX-License-Identifier: Apache-2.0 */
/* What the processes of a group print, relayed line by line to our standard error (lines of muster-worker in the form of our own
 * log lines, others unchanged); and mpirun's messages of which rank died or which host was lost, parsed. */
#pragma once

#include "common/base/buffer.h"

struct output {
    int descriptor; /* -1: closed */
    struct buffer line;
    int lost_rank;       /* that mpirun says was ended by a signal; -1: none */
    int signal;          /* which */
    char lost_host[256]; /* of lost_rank; without one: the host that mpirun lost; "": none */
};

void output_open(struct output *o, int descriptor); /* takes the descriptor */
void output_relay(struct output *o);                /* what is there now; never blocks */
void output_close(struct output *o);
