/* SPDX-License-Identifier: Apache-2.0 */
/* Being started under an MPI launcher: `mpirun -np N muster run JOB`, `srun --mpi=pmix -n N muster run JOB`, on one host or
 * several that share the run directory. All N processes are muster; rank 0's stays the coordinator (it never calls MPI) and
 * starts a worker as its child, the others become workers as soon as the coordinator's connection file is there.
 *
 * In main, before anything is written:
 *     struct attach a;
 *     if (attach_find(&a, &e)) ... read the job ... if (a.ranks && attach_divide(&a, groups, ranks_per_group, &e)) ...
 *     if (a.ranks && a.rank > 0) { attach_exec_worker(&a, &options, &exit_code, &e) ... return exit_code; }
 *     if (a.ranks) { options.launcher = LAUNCHER_ATTACHED; options.groups = a.groups; options.ranks_per_group =
 * a.ranks_per_group; }
 *     ... the whole run, dispatch_destroy ...
 *     attach_finish(&a, directory);  // also when there was nothing to do, and after an error
 * The exit code of mpirun is then the coordinator's. */
#pragma once

#include "coordinator/dispatch/dispatch.h"

struct attach {
    int ranks; /* 0: not started under an MPI launcher, or under one with a single process: run as always */
    int rank;
    int ranks_here; /* on this host */
    int groups,
        ranks_per_group; /* 0 until divided; then groups * ranks_per_group == ranks, group g has ranks from g * ranks_per_group */
};

/* Reads the environment only. ERROR_USAGE: srun started several processes without PMIx; *ret is set
 * also then, so that one rank alone reports it. */
int attach_find(struct attach *ret, struct error *e);

/* groups and ranks_per_group: of the job. The number of ranks is given, so one of the two decides: groups where above 1,
 * else ranks_per_group where above 1, else all ranks are one group. ERROR_USAGE where the ranks cannot be divided so, or a
 * group's ranks are no power of two. */
int attach_divide(struct attach *a, int groups, int ranks_per_group, struct error *e);

/* Waits for <directory>/connection.json of this MPI job and becomes the worker of this rank: does not return then. Blocks until
 * then. Returns 0 with *exit_code if the coordinator has finished without work for it, or ERROR_STOPPED after a signal;
 * ERROR_FAILED if the directory is not shared with the host of rank 0. */
int attach_exec_worker(const struct attach *a, const struct dispatch_options *o, int *exit_code, struct error *e);

/* Rank 0, as soon as the run directory is ours: lets the others know, which may be on other hosts, that they wait at the right
 * directory. */
void attach_announce(const char *directory);

/* Rank 0, last: ranks that still wait exit. */
void attach_finish(const struct attach *a, const char *directory);

char *attach_session(
    void); /* name of the MPI job that we are in, so that a file left by another is not believed; NULL: none. Caller frees */
