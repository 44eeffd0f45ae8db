/* SPDX-License-Identifier: Apache-2.0 */
/* Starts worker groups: a table of launchers. A group is one MPI job of `ranks` processes, or one process without MPI. */
#pragma once

#include "common/base/launcher_kind.h"
#include "common/base/process.h"

struct launch {
    const char *worker;     /* path of muster-worker */
    const char *connection; /* path of the connection file */
    const char *device;
    bool fast;             /* GPUs sum by NCCL's all-reduce, in no order of ours */
    const char *group;     /* its name in HELLO */
    int ranks, threads;    /* threads a rank */
    int first_gpu;         /* on this machine, of the ranks of the group */
    bool gpus;             /* each rank takes a GPU: SLURM is asked for it */
    bool oversubscribed;   /* all groups together have more threads than this machine has cores: waiting must not spin */
    const char *spec;      /* "mpirun": hosts and their slots, "n1:2,n2:1" */
    bool local;            /* all ranks of the group are on this machine: nothing of it listens beyond the loopback interface */
    const char *interface; /* cluster.interface, which Open MPI keeps to as well; NULL: it chooses */
    double heartbeat_timeout; /* seconds in which a lost host is to be noticed */
};

struct launcher {
    const char *name;                                                           /* for messages */
    int (*start)(struct process *ret, const struct launch *l, struct error *e); /* NULL: somebody else starts the workers */
    int (*check)(int groups, int ranks, struct error *e);                       /* can it start these here? NULL: always */
    bool restartable;      /* can start more than one group, and a new one for one that died */
    bool accepts_external; /* groups that it did not start are welcome */
    bool uses_slots;       /* a group gets slots of hosts (cluster/hosts.h) */
    bool remote;           /* its workers may be on other hosts, which have to reach the coordinator */
};

const struct launcher *launcher_get(enum launcher_kind kind); /* not LAUNCHER_UNSET */
/* Threads of a rank, if the job leaves them open: of the SLURM allocation, or cores / ranks, at least 1. */
int launcher_threads(int ranks_on_host);

/* muster-worker next to this executable. Caller frees. ERROR_FAILED if it is not there. */
int launcher_worker_path(char **ret, struct error *e);

/* Replaces this process by the worker of `l` (ranks > 1: as a rank of the MPI job it is in). Returns only on failure. */
int launcher_exec(const struct launch *l, struct error *e);
