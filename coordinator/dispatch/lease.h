/* SPDX-License-Identifier: Apache-2.0 */
/* The leases of one dispatch: for each trial, where it stands. A lease has a number of its own; messages under an older number
 * are ignored. */
#pragma once

#include "common/base/error.h"
#include "proto/state.h"

#include <stddef.h>
#include <stdint.h>

struct lease {
    int state; /* enum lease_state */
    uint64_t number;
    uint32_t attempts; /* leases given for this trial, those of earlier runs of the program too */
    int deaths;        /* of groups that had it */
};

struct leases {
    struct lease *items; /* by trial */
    size_t count;
    size_t in[LEASE_FAILED + 1]; /* so many are in each state */
    size_t first;                /* none before it is queued */
};

void leases_create(struct leases *l, size_t count);
void leases_free(struct leases *l);
bool leases_next(struct leases *l, size_t *trial);                                     /* the first that is queued */
int leases_move(struct leases *l, size_t trial, enum lease_state to, struct error *e); /* state_move of one of them */
size_t leases_in(const struct leases *l, enum lease_state state);
