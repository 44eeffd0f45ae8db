/* How worker groups come to life: a table of launchers. A group is one MPI job of `ranks` processes, or one bare process. */
#pragma once

#include "common/base/error.h"

#include <sys/types.h>

struct launch {
    const char *worker;     /* path of muster-worker */
    const char *connection; /* path of the connection file */
    const char *device;
    const char *group;        /* token that the group says HELLO with */
    int ranks, threads;       /* threads a rank */
    bool crowded;             /* all groups together have more threads than this machine has cores: waiting must not spin */
    const char *spec;         /* "mpirun": hosts and their slots, "n1:2,n2:1" */
    const char *interface;    /* cluster.interface, which Open MPI keeps to as well; NULL: it chooses */
    double heartbeat_timeout; /* seconds in which a lost host is to be noticed */
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
    int (*check)(int groups, int ranks, struct error *e);                        /* could it start these here? NULL: always */
    bool again;     /* can start more than one group, and a new one for one that died */
    bool strangers; /* groups that it did not start are welcome */
    bool seated;    /* a group gets slots of hosts (cluster/hosts.h) */
    bool far;       /* its workers may be on other hosts, which have to reach the coordinator */
};

/* "local": mpirun (or a bare process) on this machine. "mpirun": on the hosts of a host file, or of SLURM's allocation. "srun": a
 * job step of SLURM's allocation a group. "none": somebody else starts workers with the connection file. "attached": we are rank
 * 0 of an MPI job; starts the worker of rank 0, the other ranks come by themselves (attach.h). */
const struct launcher *launcher_find(const char *name, struct error *e); /* ERROR_USAGE with the names there are */
/* Threads of a rank, if the job leaves them open: as SLURM says, or the cores shared out. */
int launcher_threads(int ranks_on_host);

/* Starts any program in a process group of its own; its output comes by the pipe. */
int launcher_spawn(struct launched *ret, char *const *words, struct error *e);

/* muster-worker next to this executable. Caller frees. ERROR_FAILED if it is not there. */
int launcher_worker_path(char **ret, struct error *e);
int launcher_cores(void); /* that this process may use */

/* Replaces this process by the worker of `l` (ranks > 1: as a rank of the MPI job it is in). Returns only on failure. */
int launcher_become(const struct launch *l, struct error *e);
