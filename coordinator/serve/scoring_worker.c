/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/serve/scoring_worker.h"

#include "cluster/launcher.h"
#include "cluster/output.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/base/process.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define ANSWER_MOST 300 /* seconds for a batch, or for loading */
#define END_MOST 10.0

struct scoring_worker {
    struct scoring_worker_options options;
    struct process process;
    struct output output;
    int socket; /* -1: none runs */
    bool started;
    char device[256];
    atomic_uint restarts;
};

void scoring_worker_create(struct scoring_worker **ret, const struct scoring_worker_options *o)
{
    struct scoring_worker *w = allocate(1, sizeof *w);
    *w = (struct scoring_worker){.options = *o, .socket = -1, .output = {.descriptor = -1}};
    *ret = w;
}

/* It ends when its socket does. */
static void end(struct scoring_worker *w, bool at_once)
{
    if (w->socket < 0)
        return;
    double until = clock_seconds() + END_MOST;
    close(w->socket);
    w->socket = -1;
    if (at_once)
        kill(w->process.pid, SIGKILL);
    for (;;) {
        output_relay(&w->output);
        pid_t ended = waitpid(w->process.pid, NULL, WNOHANG);
        if (ended != 0 && !(ended < 0 && errno == EINTR))
            break;
        if (clock_seconds() > until)
            kill(w->process.pid, SIGKILL);
        clock_sleep(0.005);
    }
    output_relay(&w->output);
    output_close(&w->output);
}

void scoring_worker_destroy(struct scoring_worker **worker)
{
    struct scoring_worker *w = worker ? *worker : NULL;
    if (!w)
        return;
    end(w, false);
    free(w);
    *worker = NULL;
}

static int launch(struct scoring_worker *w, struct error *e)
{
    char *program, threads[16];
    int pair[2];
    if (launcher_worker_path(&program, e))
        return -1;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) {
        free(program);
        return error_errno(e, errno, "no socket for a scoring worker");
    }
    const struct timeval most = {.tv_sec = ANSWER_MOST};
    setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most);
    snprintf(threads, sizeof threads, "%d", w->options.threads);
    char *const arguments[] = {program,     "score", "--device", (char *)(uintptr_t)w->options.device,
                               "--threads", threads, "--",       (char *)(uintptr_t)w->options.bundle,
                               NULL};
    int result = process_start(&w->process, arguments, &(struct process_options){.input = pair[1]}, e);
    close(pair[1]);
    free(program);
    if (result) {
        close(pair[0]);
        return -1;
    }
    output_open(&w->output, w->process.output);
    w->socket = pair[0];
    return 0;
}

/* A frame of the kind that is due. */
static int receive(struct scoring_worker *w, struct scoring_frame *f, enum scoring_kind due, struct error *e)
{
    int more = scoring_receive(f, w->socket, e);
    output_relay(&w->output);
    if (more == 0)
        return error_set(e, ERROR_FAILED, "%s: its scoring worker has ended", w->options.bundle);
    if (more < 0)
        return error_prefix(e, "%s: its scoring worker: ", w->options.bundle);
    if (f->kind == due)
        return 0;
    if (f->kind == SCORING_FAILED)
        error_set(e, f->count == ERROR_DATA ? ERROR_DATA : ERROR_USAGE, "%s", f->payload);
    else
        error_set(e, ERROR_FAILED, "%s: its scoring worker answers out of turn", w->options.bundle);
    scoring_frame_free(f);
    return -1;
}

int scoring_worker_start(struct scoring_worker *w, struct error *e)
{
    struct scoring_frame ready;
    if (w->socket >= 0)
        return 0;
    if (launch(w, e))
        return -1;
    if (receive(w, &ready, SCORING_READY, e)) {
        end(w, true);
        return -1;
    }
    snprintf(w->device, sizeof w->device, "%s", ready.payload);
    uint32_t labels = ready.count;
    scoring_frame_free(&ready);
    if (labels != w->options.labels) {
        end(w, true);
        return error_set(e, ERROR_DATA, "%s: config.json has %u labels now, and had %u: start the server again",
                         w->options.bundle, labels, w->options.labels);
    }
    if (w->started)
        w->restarts++;
    w->started = true;
    return 0;
}

static int exchange(struct scoring_worker *w, const struct buffer *rows, uint32_t count, float *logits, struct error *e)
{
    struct scoring_frame f;
    size_t size = (size_t)count * w->options.labels * sizeof *logits;
    if (scoring_send(w->socket, SCORING_ROWS, count, rows->data, rows->size, e))
        return error_prefix(e, "%s: its scoring worker: ", w->options.bundle);
    if (receive(w, &f, SCORING_LOGITS, e))
        return -1;
    bool fits = f.count == count && f.size == size;
    if (fits)
        memcpy(logits, f.payload, size);
    scoring_frame_free(&f);
    return fits ? 0 : error_set(e, ERROR_FAILED, "%s: its scoring worker gave %u rows for %u", w->options.bundle, f.count, count);
}

int scoring_worker_score(struct scoring_worker *w, const struct scoring_row *rows, uint32_t count, float *logits, struct error *e)
{
    struct buffer sent = {0};
    int result = -1;
    scoring_rows_encode(&sent, rows, count);
    for (int attempt = 0; attempt < 2 && result; attempt++) {
        if (scoring_worker_start(w, e))
            break;
        result = exchange(w, &sent, count, logits, e);
        if (!result || e->kind == ERROR_DATA)
            break;
        log_warn("%s; it is started again", e->message);
        end(w, true);
    }
    buffer_free(&sent);
    return result;
}

bool scoring_worker_runs(const struct scoring_worker *w)
{
    return w->socket >= 0;
}

const char *scoring_worker_device(const struct scoring_worker *w)
{
    return w->device;
}

unsigned scoring_worker_restarts(const struct scoring_worker *w)
{
    return w->restarts;
}
