/* SPDX-License-Identifier: Apache-2.0 */
/* The hosts of a cluster and their slots: which of them a worker group gets, and whether they are reachable. Groups never share a
 * slot. A host is probed (by the remote shell that mpirun uses: does it answer, is the worker there?) before it is used first,
 * and again after a group on it died. Probes are child processes, of 15 s at most; only hosts_create blocks (name lookups). One
 * thread. */
#pragma once

#include "common/base/error.h"

#include <stddef.h>

struct hosts;

/* Slots of one group. */
struct slots {
    int *taken; /* by host; NULL: none */
    char *spec; /* for mpirun --host: "n1:2,n2:1" */
};

/* hostfile NULL: the allocation of SLURM that we are in, whose hosts need no probe. ERROR_USAGE: no such file, a typo in it, or
 * neither file nor allocation. worker: path that must be there on every host; borrowed. */
int hosts_create(struct hosts **ret, const char *hostfile, const char *worker, struct error *e);
void hosts_destroy(struct hosts **h);

int hosts_check(const struct hosts *h, int groups, int ranks, struct error *e); /* slots for all groups? ERROR_USAGE */
int hosts_max_slots(const struct hosts *h);                                     /* slots of the host that has most */
const char *hosts_first_remote(const struct hosts *h); /* the first that is not this machine, borrowed; NULL: none */

void hosts_poll(struct hosts *h);                 /* starts and reaps probes; warns of hosts that are not reachable */
bool hosts_probed(const struct hosts *h);         /* no probe is running or due at once */
int hosts_available(const struct hosts *h);       /* slots of hosts that are up */
const char *hosts_problem(const struct hosts *h); /* why the first host that is down is so, borrowed; NULL: none is */
bool hosts_take(struct hosts *h, int ranks, struct slots *ret);  /* false: not so many are free now */
void hosts_release(struct hosts *h, struct slots *s, bool died); /* back; died: its remote hosts are probed again; NULL-safe */
