/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the wait for a mark. */
#include "worker/train/await.h"

#include "common/base/clock.h"
#include "common/base/machine.h"

#include <sched.h>

int await_failed(const struct communicator *c, struct error *e)
{
    char host[MACHINE_NAME];
    machine_name(host, sizeof host);
    return error_prefix(e, "rank %d (%.200s): ", c->rank, host);
}

static int report_silence(const struct communicator *c, struct error *e)
{
    error_set(e, ERROR_FAILED,
              "its device has not done what it was asked for %g s; look at that host and its output, then run again: it resumes",
              c->timeout);
    return await_failed(c, e);
}

int await_mark(struct device *d, struct communicator *c, uint64_t mark, struct error *e)
{
    double start = clock_seconds();
    for (int round = 0;; round++) {
        int passed = d->run->passed(d, mark, e);
        if (passed)
            return passed < 0 ? await_failed(c, e) : 0;
        if (c->run->watch(c, e))
            return -1;
        start = c->pending ? clock_seconds() : start;
        if (clock_seconds() - start > c->timeout)
            return report_silence(c, e);
        if (round < 200)
            sched_yield();
        else
            clock_sleep(50e-6);
    }
}

bool await_end(struct device *d, struct communicator *c, uint64_t mark)
{
    struct error ignored;
    return await_mark(d, c, mark, &ignored) == 0 || d->run->passed(d, mark, &ignored) != 0;
}
