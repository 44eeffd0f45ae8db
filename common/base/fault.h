/* SPDX-License-Identifier: Apache-2.0 */
/* Planned faults: MUSTER_FAULT in the environment plans what fails where, so that a test can kill everywhere and compare what
 * comes back. Off by default, and then one branch at each place.
 *
 *   MUSTER_FAULT="kill rank=1 step=7 op=all_reduce; drop message=result"
 *
 * Several are parted by ";". The first word is what happens:
 *   kill, stall, stop     the process gets SIGKILL, SIGSTOP or SIGTERM when the operation begins
 *   drop, duplicate       a message of that name is not sent, or is sent twice
 *   enospc, read_only     a file cannot be written during the operation
 *   flip, cut             the checkpoint just written has a bit changed, or is cut in half
 * Each has a place: op= (an operation, see operation.h), step= (of the trial, 1-based: the one under way, or the last one
 * done), rank= (of a worker), trial= (its key), message=, attempt= (the lease of this trial; 1 unless said, so that a fault does
 * not come again when the trial is tried again). What is not said may be anything. Each happens once in a process. */
#pragma once

#include "common/base/error.h"

#include <stdint.h>

extern bool fault_planned; /* read it, do not write it */

/* text: of MUSTER_FAULT; NULL: none. is_message: knows the names of messages; NULL: there are none. Anything not understood is
 * ERROR_USAGE. */
int fault_plan(const char *text, bool (*is_message)(const char *name), struct error *e);

/* Where this process stands; not said yet: no rank, trial "", attempt 1, step 0. */
void fault_set_rank(int rank);
void fault_set_trial(const char *key, uint32_t attempt);
void fault_set_step(uint64_t step);

unsigned fault_copies_planned(const char *message); /* see fault_copies */
int fault_write_planned(void);                      /* see fault_write */
void fault_damage_planned(const char *path);        /* see fault_damage */

/* How often a message is to be sent: 1 but for drop and duplicate. */
static inline unsigned fault_copies(const char *message)
{
    return fault_planned ? fault_copies_planned(message) : 1;
}

/* The errno that a write to a file fails with; 0: it does not. */
static inline int fault_write(void)
{
    return fault_planned ? fault_write_planned() : 0;
}

/* A checkpoint's file has just been written. */
static inline void fault_damage(const char *path)
{
    if (fault_planned)
        fault_damage_planned(path);
}
