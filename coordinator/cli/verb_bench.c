/* SPDX-License-Identifier: Apache-2.0 */
/* muster bench: the worker measures itself; it reads the options too. */
#include "cluster/launcher.h"
#include "common/base/memory.h"
#include "coordinator/cli/verbs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int verb_bench(const struct arguments *a, struct error *e)
{
    char *worker;
    if (launcher_worker_path(&worker, e) != 0)
        return -1;
    char **argv = allocate(a->count + 3, sizeof *argv);
    argv[0] = duplicate(worker);
    argv[1] = duplicate("bench");
    for (size_t i = 0; i < a->count; i++)
        argv[i + 2] = duplicate(a->positional[i]);
    execv(worker, argv);
    error_errno(e, errno, "%s: cannot be started", worker);
    for (size_t i = 0; argv[i]; i++)
        free(argv[i]);
    free(argv);
    free(worker);
    return -1;
}
