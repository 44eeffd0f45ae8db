/* SPDX-License-Identifier: Apache-2.0 */
/* States of a worker group and of a lease, and which may follow which: two tables of edges. */
#pragma once

#include "common/base/error.h"

enum group_state {
    GROUP_STARTING, /* its process runs, no HELLO yet */
    GROUP_IDLE,     /* connected, waits for a lease */
    GROUP_BUSY,     /* has a lease */
    GROUP_STOPPED,  /* sent STOPPED, waits for GOODBYE */
    GROUP_GONE      /* died or left: its messages are ignored */
};

enum lease_state {
    LEASE_QUEUED, /* waits for a group */
    LEASE_GIVEN,  /* a group works on it */
    LEASE_DONE,
    LEASE_FAILED, /* given up: an error of its own, or its groups died more than `restarts` times */
};

struct state_machine {
    const char *what;         /* for messages */
    const char *const *names; /* by state */
    const unsigned *edges;    /* by state: a set of bits 1 << next */
};

extern const struct state_machine group_states, lease_states;

/* Moves *state, or is ERROR_FAILED naming both: a bug or a peer that does not follow the protocol. */
int state_move(const struct state_machine *m, int *state, int next, struct error *e);
bool state_may(const struct state_machine *m, int state, int next);
