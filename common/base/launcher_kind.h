/* SPDX-License-Identifier: Apache-2.0 */
/* Who starts the workers: the one list of launchers. cluster/launcher.h has what each does. */
#pragma once

enum launcher_kind {
    LAUNCHER_UNSET,   /* not decided yet: the job's */
    LAUNCHER_LOCAL,   /* mpirun, or a process without MPI, on this machine */
    LAUNCHER_MPIRUN,  /* on the hosts of a host file, or of the SLURM allocation that we are in */
    LAUNCHER_SRUN,    /* a job step of the SLURM allocation a group */
    LAUNCHER_NONE,    /* somebody else starts workers, with the connection file */
    LAUNCHER_ATTACHED /* we are rank 0 of an MPI job: its ranks are the workers (mpi_attach.h). No job can ask for it */
};

extern const char *const launcher_names[]; /* that a job may ask for, NULL at the end */

enum launcher_kind launcher_kind_find(const char *name); /* LAUNCHER_UNSET: unknown */
