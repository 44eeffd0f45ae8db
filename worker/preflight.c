/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the checks that ranks make before they work together. */
#include "worker/preflight.h"

#include "common/base/buffer.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/machine.h"
#include "common/base/memory.h"
#include "worker/train/agree.h"

#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SKEW_MOST 60.0 /* seconds */

struct identity {
    char host[MACHINE_NAME], build[SHA256_HEX], directory[SHA256_HEX]; /* directory: of the connection file in it */
    double now;
};

/* "0-3,8": cores that this process may run on. */
static void list_cores(struct buffer *b)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set))
        CPU_ZERO(&set);
    const char *comma = "";
    for (int first = 0, last; first < CPU_SETSIZE; first = last + 1) {
        for (last = first; last < CPU_SETSIZE && CPU_ISSET(last, &set);)
            last++;
        if (last == first)
            continue;
        buffer_printf(b, first == last - 1 ? "%s%d" : "%s%d-%d", comma, first, last - 1);
        comma = ",";
    }
}

static int identify(struct identity *f, const char *connection, struct error *e)
{
    struct error why;
    machine_name(f->host, sizeof f->host);
    f->now = clock_wall();
    if (sha256_file("/proc/self/exe", f->build, e))
        return -1;
    if (sha256_file(connection, f->directory, &why))
        return error_set(e, ERROR_FAILED, "host %s cannot see the run directory: %.700s; all hosts must share it", f->host,
                         why.message);
    return 0;
}

static int compare(const struct identity *mine, const struct identity *first, const char *connection, struct error *e)
{
    if (strcmp(mine->build, first->build))
        return error_set(e, ERROR_FAILED,
                         "host %s runs another muster-worker (%.12s) than host %s (%.12s); install the same one on all hosts",
                         mine->host, mine->build, first->host, first->build);
    if (strcmp(mine->directory, first->directory))
        return error_set(e, ERROR_FAILED, "host %s has another %.500s than host %s; all hosts must share the run directory",
                         mine->host, connection, first->host);
    return 0;
}

/* Texts of `size` bytes come to rank 0, rank after rank; the caller frees them. NULL on the others. */
static int gather_texts(char **ret, struct communicator *c, const char *own, size_t size, struct error *e)
{
    char *all = c->rank ? NULL : allocate((size_t)c->size, size);
    void **into = allocate((size_t)c->size, sizeof *into);
    size_t *sizes = allocate((size_t)c->size, sizeof *sizes);
    for (int r = 0; all && r < c->size; r++) {
        into[r] = all + (size_t)r * size;
        sizes[r] = size;
    }
    int status = c->run->gather(c, own, size, all ? into : NULL, all ? sizes : NULL, e);
    free(into);
    free(sizes);
    *ret = all;
    return status;
}

static int gather_places(char **ret, struct communicator *c, const char *host, const char *gpu, struct error *e)
{
    enum { LINE = 512 };
    char line[LINE] = "", *all;
    struct buffer cores = {0}, text = {0};
    list_cores(&cores);
    snprintf(line, sizeof line, "rank %d: %.200s, cores %.200s%s%.47s", c->rank, host, cores.size ? cores.data : "unknown",
             *gpu ? ", " : "", gpu);
    buffer_free(&cores);
    int status = gather_texts(&all, c, line, LINE, e);
    for (int r = 0; !status && all && r < c->size; r++)
        buffer_printf(&text, "%s%s", r ? "\n" : "", all + (size_t)r * LINE);
    free(all);
    *ret = text.data;
    return status;
}

void preflight_compare_clocks(const char *who, double theirs)
{
    char host[MACHINE_NAME];
    double ahead = clock_wall() - theirs;
    machine_name(host, sizeof host);
    if (fabs(ahead) > SKEW_MOST)
        log_warn("the clock of host %s is %.0f s %s that of %s; timestamps in logs will differ; nothing else depends on it", host,
                 fabs(ahead), ahead > 0 ? "ahead of" : "behind", who);
}

int preflight_check(struct preflight *ret, struct communicator *c, const char *connection, const char *gpu, struct error *e)
{
    struct identity mine = {0}, first;
    *ret = (struct preflight){0};
    int status = agree(c, identify(&mine, connection, e), e);
    first = mine;
    if (!status)
        status = c->run->broadcast(c, &first, sizeof first, 0, e);
    if (!status)
        preflight_compare_clocks(first.host, first.now);
    if (!status)
        status = agree(c, compare(&mine, &first, connection, e), e);
    if (!status)
        status = gather_places(&ret->places, c, mine.host, gpu, e);
    memcpy(ret->build, mine.build, sizeof ret->build);
    return status;
}
