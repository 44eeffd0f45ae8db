/* SPDX-License-Identifier: Apache-2.0 */
/* The output of started groups. */
#include "cluster/output.h"

#include "common/base/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_MOST 4096 /* longer lines are passed on in pieces */

void output_open(struct output *o, int descriptor)
{
    *o = (struct output){.descriptor = descriptor, .lost_rank = -1};
}

/* "mpirun noticed that process rank 1 with PID 0 on node n7 exited on signal 9 (Killed)." */
static void parse_death(struct output *o, const char *line)
{
    const char *at = strstr(line, "process rank ");
    int rank, signal;
    char host[256];
    if (at && o->lost_rank < 0 &&
        sscanf(at, "process rank %d with PID %*d on node %255s exited on signal %d", &rank, host, &signal) == 3) {
        o->lost_rank = rank;
        o->signal = signal;
        memcpy(o->lost_host, host, sizeof host);
    }
}

/* "  Remote daemon: [[15,0],1] on node n7", behind "ORTE has lost communication with a remote daemon." */
static void parse_lost_host(struct output *o, const char *line)
{
    const char *at = strstr(line, "Remote daemon:");
    char host[256];
    if (at && !o->lost_host[0] && sscanf(at, "Remote daemon: [[%*d,%*d],%*d] on node %255s", host) == 1)
        memcpy(o->lost_host, host, sizeof host);
}

/* A line that a worker logged is logged again as our own, so that all lines have one form; anything else passes unchanged. */
static void relay_line(const char *line)
{
    static const char prefix[] = "muster-worker: ";
    if (strncmp(line, prefix, sizeof prefix - 1) == 0)
        log_info("%s", line + sizeof prefix - 1);
    else
        log_pass(line);
}

static void handle_line(struct output *o)
{
    parse_death(o, o->line.data);
    parse_lost_host(o, o->line.data);
    relay_line(o->line.data);
    buffer_clear(&o->line);
}

static void take(struct output *o, const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != '\n')
            buffer_append(&o->line, &bytes[i], 1);
        else if (!o->line.size)
            buffer_text(&o->line, "");
        if (bytes[i] == '\n' || o->line.size >= LINE_MOST)
            handle_line(o);
    }
}

void output_relay(struct output *o)
{
    char bytes[4096];
    while (o->descriptor >= 0) {
        ssize_t size = read(o->descriptor, bytes, sizeof bytes);
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0 && errno == EAGAIN)
            return;
        if (size > 0) {
            take(o, bytes, (size_t)size);
            continue;
        }
        if (o->line.size)
            handle_line(o);
        close(o->descriptor);
        o->descriptor = -1;
    }
}

void output_close(struct output *o)
{
    output_relay(o);
    if (o->descriptor >= 0)
        close(o->descriptor);
    o->descriptor = -1;
    buffer_free(&o->line);
}
