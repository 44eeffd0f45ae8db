/* SPDX-License-Identifier: Apache-2.0 */
/* Child processes: the one place that forks. A child gets /dev/null as its standard input unless told otherwise; its output comes
 * through a pipe. */
#pragma once

#include "common/base/buffer.h"
#include "common/base/error.h"

#include <sys/types.h>

enum process_flag {
    PROCESS_GROUP = 1, /* leads a process group of its own, so that Ctrl-C does not reach it, and gets SIGUSR1 if we die */
    PROCESS_QUIET = 2  /* its standard error goes to /dev/null, not into the pipe */
};

struct process_options {
    char *const *environment; /* NULL: ours */
    const char *directory;    /* that it runs in; NULL: ours */
    int input;                /* what becomes its standard input; 0: /dev/null */
    unsigned flags;
};

struct process {
    pid_t pid;
    int output; /* reading end of the pipe; does not block */
};

/* arguments[0] is searched in PATH. Does not wait for the program, only for its exec: one that fails is ERROR_FAILED with the
 * reason, and leaves no process behind. The caller reaps pid and closes output. o may be NULL. */
int process_start(struct process *ret, char *const *arguments, const struct process_options *o, struct error *e);

/* Runs a program to its end; blocks. *output: what it printed, at most `most` bytes (the rest is discarded), NUL-terminated;
 * caller frees. *status: as of waitpid. */
int process_run(struct buffer *output, size_t most, int *status, char *const *arguments, const struct process_options *o,
                struct error *e);
