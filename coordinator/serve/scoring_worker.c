/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/serve/scoring_worker.h"

#include "cluster/launcher.h"
#include "cluster/output.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/base/process.h"

#include <errno.h>
#include <pthread.h>
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

#define LEFT_OUT UINT32_MAX

/* A bundle, and what the running worker calls it. */
struct member {
    struct scored_bundle bundle;
    uint32_t number;  /* LEFT_OUT: it has changed */
    struct error why; /* of that */
};

struct scoring_worker {
    struct scoring_worker_options options;
    struct member *members; /* (options.count) */
    struct process process;
    struct output output;
    int socket; /* -1: none runs */
    pthread_mutex_t lock;
    bool running, abandoned; /* under the lock; running: there is a process, and nobody has begun to wait for its end */
    bool started;
    char device[256];
    atomic_uint restarts;
    atomic_bool lost;
};

void scoring_worker_create(struct scoring_worker **ret, const struct scoring_worker_options *o)
{
    struct scoring_worker *w = allocate(1, sizeof *w);
    *w = (struct scoring_worker){.options = *o, .socket = -1, .output = {.descriptor = -1}};
    pthread_mutex_init(&w->lock, NULL);
    w->members = allocate(o->count, sizeof *w->members);
    for (size_t i = 0; i < o->count; i++)
        w->members[i].bundle = o->bundles[i];
    w->options.bundles = NULL;
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
    pthread_mutex_lock(&w->lock);
    w->running = false;
    pthread_mutex_unlock(&w->lock);
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
    pthread_mutex_destroy(&w->lock);
    free(w->members);
    free(w);
    *worker = NULL;
}

static const char *first_path(const struct scoring_worker *w)
{
    return w->members[0].bundle.path;
}

/* Numbers those that are loaded. ERROR_FAILED: none. */
static int choose(struct scoring_worker *w, struct error *e)
{
    uint32_t count = 0;
    for (size_t i = 0; i < w->options.count; i++) {
        struct member *m = &w->members[i];
        bool changed = w->started && w->options.check(w->options.context, i, &m->why) != 0;
        m->number = changed ? LEFT_OUT : count++;
    }
    return count ? 0 : error_set(e, ERROR_FAILED, "its scoring worker has ended, and %.900s", w->members[0].why.message);
}

static int start_process(struct scoring_worker *w, char *program, int input, struct error *e)
{
    char threads[16];
    const char *const first[] = {program, "score", "--device", w->options.device, "--threads", threads, "--"};
    size_t count = sizeof first / sizeof *first;
    const char **arguments = allocate(count + w->options.count + 1, sizeof *arguments);
    snprintf(threads, sizeof threads, "%d", w->options.threads);
    memcpy(arguments, first, sizeof first);
    for (size_t i = 0; i < w->options.count; i++)
        if (w->members[i].number != LEFT_OUT)
            arguments[count++] = w->members[i].bundle.path;
    pthread_mutex_lock(&w->lock);
    int result = w->abandoned ? error_set(e, ERROR_STOPPED, "the server is stopping")
                              : process_start(&w->process, (char *const *)(uintptr_t)arguments,
                                              &(struct process_options){.input = input}, e);
    w->running = !result;
    pthread_mutex_unlock(&w->lock);
    free(arguments);
    return result;
}

void scoring_worker_abandon(struct scoring_worker *w)
{
    pthread_mutex_lock(&w->lock);
    w->abandoned = true;
    if (w->running)
        kill(w->process.pid, SIGKILL);
    pthread_mutex_unlock(&w->lock);
}

static int launch(struct scoring_worker *w, struct error *e)
{
    char *program;
    int pair[2];
    if (choose(w, e) || launcher_worker_path(&program, e))
        return -1;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) {
        free(program);
        return error_errno(e, errno, "no socket for a scoring worker");
    }
    const struct timeval most = {.tv_sec = ANSWER_MOST};
    setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most);
    int result = start_process(w, program, pair[1], e);
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
        return error_set(e, ERROR_FAILED, "%s: its scoring worker has ended", first_path(w));
    if (more < 0)
        return error_prefix(e, "%s: its scoring worker: ", first_path(w));
    if (f->kind == due)
        return 0;
    if (f->kind == SCORING_FAILED)
        error_set(e, f->count == ERROR_DATA ? ERROR_DATA : ERROR_USAGE, "%s", f->payload);
    else
        error_set(e, ERROR_FAILED, "%s: its scoring worker answers out of turn", first_path(w));
    scoring_frame_free(f);
    return -1;
}

static int receive_ready(struct scoring_worker *w, const struct scored_bundle *b, struct error *e)
{
    struct scoring_frame ready;
    if (receive(w, &ready, SCORING_READY, e))
        return -1;
    snprintf(w->device, sizeof w->device, "%s", ready.payload);
    uint32_t labels = ready.count;
    scoring_frame_free(&ready);
    if (labels == b->labels)
        return 0;
    return error_set(e, ERROR_DATA, "%s: config.json has %u labels now, and had %u: start the server again", b->path, labels,
                     b->labels);
}

int scoring_worker_start(struct scoring_worker *w, struct error *e)
{
    if (w->socket >= 0)
        return 0;
    if (launch(w, e))
        return -1;
    for (size_t i = 0; i < w->options.count; i++)
        if (w->members[i].number != LEFT_OUT && receive_ready(w, &w->members[i].bundle, e)) {
            end(w, true);
            return -1;
        }
    if (w->started)
        w->restarts++;
    w->started = true;
    return 0;
}

static int exchange(struct scoring_worker *w, const struct member *m, const struct scoring_row *rows, uint32_t count,
                    float *logits, struct error *e)
{
    struct scoring_frame f;
    struct buffer sent = {0};
    size_t size = (size_t)count * m->bundle.labels * sizeof *logits;
    scoring_rows_encode(&sent, m->number, rows, count);
    int result = scoring_send(w->socket, SCORING_ROWS, count, sent.data, sent.size, e);
    buffer_free(&sent);
    if (result)
        return error_prefix(e, "%s: its scoring worker: ", m->bundle.path);
    if (receive(w, &f, SCORING_LOGITS, e))
        return -1;
    bool fits = f.count == count && f.size == size;
    if (fits)
        memcpy(logits, f.payload, size);
    scoring_frame_free(&f);
    return fits ? 0 : error_set(e, ERROR_FAILED, "%s: its scoring worker gave %u rows for %u", m->bundle.path, f.count, count);
}

int scoring_worker_score(struct scoring_worker *w, size_t bundle, const struct scoring_row *rows, uint32_t count, float *logits,
                         struct error *e)
{
    const struct member *m = &w->members[bundle];
    int result = -1;
    for (int attempt = 0; attempt < 2 && result; attempt++) {
        if (scoring_worker_start(w, e)) {
            e->kind = ERROR_FAILED; /* whatever it is, the rows are not to blame */
            if (!w->lost)
                log_warn("%s", e->message);
            w->lost = true;
            break;
        }
        w->lost = false;
        if (m->number == LEFT_OUT)
            return error_set(e, ERROR_FAILED, "its scoring worker has ended, and %.900s", m->why.message);
        result = exchange(w, m, rows, count, logits, e);
        if (!result || e->kind == ERROR_DATA)
            break;
        log_warn("%s; it is started again", e->message);
        end(w, true);
    }
    return result;
}

const char *scoring_worker_device(const struct scoring_worker *w)
{
    return w->device;
}

unsigned scoring_worker_restarts(const struct scoring_worker *w)
{
    return w->restarts;
}

bool scoring_worker_is_lost(const struct scoring_worker *w)
{
    return w->lost;
}
