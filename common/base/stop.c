/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/stop.h"

#include "common/base/clock.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

static atomic_int requested, signals; /* a stop may be asked for by message and by the scheduler's signal, both once */

static _Atomic double first; /* clock of the first signal */

/* A launcher may hand on one request twice, a few milliseconds apart: nobody has asked a second time then. */
static void on_signal(int number)
{
    (void)number;
    requested = 1;
    double now = clock_seconds();
    if (!signals++)
        first = now;
    else if (now - first > STOP_AGAIN)
        _exit(ERROR_STOPPED);
}

void stop_install(void)
{
    struct sigaction action = {.sa_handler = on_signal}; /* no SA_RESTART: waits return EINTR and poll */
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
}

bool stop_requested(void)
{
    return requested;
}

int stop_check(struct error *e)
{
    if (!requested)
        return 0;
    return error_set(e, ERROR_STOPPED, "stopped on request; run the same command again to resume");
}

void stop_request(void)
{
    requested = 1;
}
