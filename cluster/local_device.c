/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/local_device.h"

#include "cluster/launcher.h"
#include "common/base/device_kind.h"
#include "common/base/memory.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define WORKER_SAYS "muster-worker: "

/* The last line that begins as the worker's errors do. */
static int relay(char *said, int status, struct error *e)
{
    char *at = NULL;
    for (char *next = said; (next = strstr(next, WORKER_SAYS)); next += strlen(WORKER_SAYS))
        at = next + strlen(WORKER_SAYS);
    if (!at || !WIFEXITED(status))
        return error_set(e, ERROR_FAILED, "muster-worker devices: it ended with status %d and said: %.500s", status, said);
    at[strcspn(at, "\n")] = 0;
    return error_set(e, WEXITSTATUS(status) == ERROR_USAGE ? ERROR_USAGE : ERROR_FAILED, "%s", at);
}

/* Two lines, and of a trial a third. */
static int read_answer(struct local_device *ret, const char *said, bool of_trial, struct error *e)
{
    struct local_device d = {0};
    int found = sscanf(said, "%255[^\n]\n%zu %zu %zu %zu", d.text, &d.memory, &d.left, &d.weights, &d.activations);
    if (found != (of_trial ? 5 : 3))
        return error_set(e, ERROR_FAILED, "muster-worker: its answer about the device is not understood: %.500s", said);
    *ret = d;
    return 0;
}

int local_device_ask(struct local_device *ret, const char *device, int processes, const char *trial, int ranks, struct error *e)
{
    char *worker, count[16], group[16];
    struct buffer said;
    int status;
    if (launcher_worker_path(&worker, e))
        return -1;
    snprintf(count, sizeof count, "%d", processes);
    snprintf(group, sizeof group, "%d", ranks);
    char *const words[] = {worker,
                           (char[]){"devices"},
                           (char[]){"--device"},
                           (char *)(uintptr_t)device,
                           (char[]){"--processes"},
                           count,
                           (char[]){"--ranks"},
                           group,
                           trial ? (char[]){"--trial"} : NULL,
                           (char *)(uintptr_t)trial,
                           NULL};
    int result = process_run(&said, 65536, &status, words, NULL, e);
    free(worker);
    if (result)
        return -1;
    if (status)
        result = relay(said.data, status, e);
    else
        result = read_answer(ret, said.data, trial, e);
    buffer_free(&said);
    return result;
}

int local_device_check(const char *name, const char *expected, struct error *e)
{
    struct local_device found;
    int kind = device_kind_find(name);
    if (kind < 0)
        return error_set(e, ERROR_USAGE, "--device: expected %s, found \"%s\"", expected, name);
    return kind == DEVICE_CUDA ? local_device_ask(&found, name, 1, NULL, 1, e) : 0;
}
