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

int local_device_ask(struct local_device *ret, const char *device, int processes, struct error *e)
{
    char *worker, count[16];
    struct buffer said;
    struct local_device found = {0};
    int status;
    if (launcher_worker_path(&worker, e))
        return -1;
    snprintf(count, sizeof count, "%d", processes);
    char *const words[] = {
        worker, (char[]){"devices"}, (char[]){"--device"}, (char *)(uintptr_t)device, (char[]){"--processes"}, count, NULL};
    int result = process_run(&said, 65536, &status, words, NULL, e);
    free(worker);
    if (result)
        return -1;
    if (status)
        result = relay(said.data, status, e);
    else if (sscanf(said.data, "%255[^\n]\n%zu %zu", found.text, &found.memory, &found.left) != 3)
        result = error_set(e, ERROR_FAILED, "muster-worker devices: its answer is not understood: %.500s", said.data);
    buffer_free(&said);
    if (!result)
        *ret = found;
    return result;
}

int local_device_check(const char *name, const char *expected, struct error *e)
{
    struct local_device found;
    int kind = device_kind_find(name);
    if (kind < 0)
        return error_set(e, ERROR_USAGE, "--device: expected %s, found \"%s\"", expected, name);
    return kind == DEVICE_CUDA ? local_device_ask(&found, name, 1, e) : 0;
}
