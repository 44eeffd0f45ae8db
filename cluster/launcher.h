/* How worker groups come to life: a table of launchers. A group is one MPI job of `ranks` processes, or one bare process. */
#pragma once

#include "common/base/error.h"

#include <sys/types.h>

struct launch {
    const char *worker;     /* path of muster-worker */
    const char *connection; /* path of the connection file */
    const char *device;
    const char *group;  /* token that the group says HELLO with */
    int ranks, threads; /* threads a rank */
    bool crowded;       /* all groups together have more threads than this machine has cores: waiting must not spin */
};

/* A started group: its first process, leader of a process group of its own (so that Ctrl-C reaches the coordinator alone, which
 * then stops the workers in order), and the reading end of its standard output and error. It gets SIGUSR1 (save and stop) if we
 * die. */
struct launched {
    pid_t pid;
    int output; /* does not block */
};

struct launcher {
    const char *name;
    int (*start)(struct launched *ret, const struct launch *l, struct error *e); /* NULL: somebody else starts the workers */
    bool again;     /* can start more than one group, and a new one for one that died */
    bool strangers; /* groups that it did not start are welcome */
};

/* "local": mpirun (or a bare process) on this machine. "none": somebody else starts workers with the connection file.
 * "attached": we are rank 0 of an MPI job; starts the worker of rank 0, the other ranks come by themselves (attach.h). */
const struct launcher *launcher_find(const char *name, struct error *e); /* ERROR_USAGE with the names there are */

/* muster-worker next to this executable. Caller frees. ERROR_FAILED if it is not there. */
int launcher_worker_path(char **ret, struct error *e);
int launcher_cores(void); /* that this process may use */

/* Replaces this process by the worker of `l` (ranks > 1: as a rank of the MPI job it is in). Returns only on failure. */
int launcher_become(const struct launch *l, struct error *e);
