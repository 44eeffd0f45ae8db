/* Owns the thread of the control connection. */
#include "worker/client.h"

#include "common/base/buffer.h"
#include "common/base/clock.h"
#include "common/base/fault.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/base/operation.h"
#include "common/base/stop.h"
#include "common/base/version.h"
#include "proto/dialer.h"
#include "worker/preflight.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define CONNECT_TIMEOUT 10.0 /* seconds: the coordinator listens before it writes the connection file */
#define FLUSH_TIMEOUT 2.0
#define RETRY_INTERVAL 2.0 /* a request without an answer may have been lost */

struct client {
    struct dialer *dialer; /* of the creator, then of the thread */
    pthread_t thread;
    bool running;
    uint32_t rank;
    int wake; /* eventfd: something is in the outbox */
    char *endpoint;
    double heartbeat_timeout, beat_interval;

    pthread_mutex_t lock; /* holds all below */
    pthread_cond_t changed;
    bool ending;
    struct client_status status;
    struct message lease, decision;
    bool has_lease, has_decision;
    struct message_beat beat;
    uint64_t taken; /* number of the last lease that came */
    char *outcome;  /* the last message about the outcome of a lease, owned; of lease `concluded` */
    uint64_t concluded;
    bool outcome_is_stopped;
    char **outbox; /* texts of messages, owned */
    size_t outgoing, capacity;
};

static void wake_thread(struct client *l)
{
    uint64_t one = 1;
    if (write(l->wake, &one, sizeof one) < 0)
        log_debug("the control thread cannot be woken");
}

/* ---- on the thread ---- */

static void request_stop(void)
{
    /* From here on the coordinator is in charge: the signal that stopped it may reach this process too, as a second one, and must
     * not end it while it saves. */
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGUSR1, SIG_IGN);
    stop_request();
}

/* Only rank 0 acts on it, for its group. */
static void mark_lost(struct client *l, const char *why)
{
    if (l->rank)
        return;
    l->status.lost = true;
    snprintf(l->status.why, sizeof l->status.why, "%s", why);
    request_stop();
}

static void queue_message(struct client *l, const char *text, const char *name)
{
    for (unsigned copies = fault_copies(name); copies; copies--) {
        l->outbox = grow(l->outbox, &l->capacity, l->outgoing + 1, sizeof *l->outbox);
        l->outbox[l->outgoing++] = duplicate(text);
    }
}

static void repeat_outcome(struct client *l)
{
    if (l->outcome)
        queue_message(l, l->outcome, "");
}

/* A lease that was received before is offered again: its outcome was lost, or it is running and the coordinator does not know
 * yet. */
static void on_lease(struct client *l, struct message *m)
{
    if (m->lease.lease == l->concluded)
        repeat_outcome(l);
    if (m->lease.lease == l->taken)
        return;
    if (l->has_lease)
        message_free(&l->lease);
    l->lease = *m;
    l->taken = m->lease.lease;
    l->has_lease = true;
    *m = (struct message){.kind = MESSAGE_STOP};
}

static void on_decision(struct client *l, struct message *m)
{
    if (l->has_decision)
        message_free(&l->decision);
    l->decision = *m;
    l->has_decision = true;
    *m = (struct message){.kind = MESSAGE_STOP};
}

static void on_stop(struct client *l, struct message *m)
{
    (void)m;
    if (l->status.stop && l->outcome_is_stopped)
        repeat_outcome(l);
    l->status.stop = true;
    request_stop();
}

static void on_goodbye(struct client *l, struct message *m)
{
    l->status.goodbye = true;
    l->status.exit_code = m->goodbye.exit_code;
    request_stop();
}

static void on_refused(struct client *l, struct message *m)
{
    char why[512];
    snprintf(why, sizeof why, "the coordinator rejected this worker: %.400s", m->refused.words);
    mark_lost(l, why);
}

static void (*const handlers[MESSAGE_KINDS])(struct client *l, struct message *m) = {
    [MESSAGE_LEASE] = on_lease,     [MESSAGE_VERDICT] = on_decision, [MESSAGE_STOP] = on_stop,
    [MESSAGE_GOODBYE] = on_goodbye, [MESSAGE_REFUSED] = on_refused,
};

static void handle_message(struct client *l, const char *bytes, size_t size)
{
    struct message m;
    struct error e;
    if (message_decode(&m, bytes, size, SIDE_COORDINATOR, &e)) {
        log_warn("from the coordinator: %s", e.message);
        return;
    }
    if (handlers[m.kind])
        handlers[m.kind](l, &m);
    message_free(&m);
}

static void receive_all(struct client *l)
{
    const char *bytes;
    size_t size;
    pthread_mutex_lock(&l->lock);
    while (dialer_receive(l->dialer, &bytes, &size))
        handle_message(l, bytes, size);
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
}

/* True if the outbox is empty. */
static bool flush_outbox(struct client *l)
{
    pthread_mutex_lock(&l->lock);
    size_t sent = 0;
    while (sent < l->outgoing && dialer_send(l->dialer, l->outbox[sent]))
        free(l->outbox[sent++]);
    l->outgoing -= sent;
    if (sent && l->outgoing)
        memmove(l->outbox, l->outbox + sent, l->outgoing * sizeof *l->outbox);
    bool empty = !l->outgoing;
    pthread_mutex_unlock(&l->lock);
    return empty;
}

static void send_heartbeat(struct client *l)
{
    struct message m = {.kind = MESSAGE_BEAT};
    struct error e;
    char *text = NULL;
    pthread_mutex_lock(&l->lock);
    m.beat = l->beat;
    m.beat.operation = m.beat.lease ? (char *)(uintptr_t)operation_now() : NULL;
    message_encode(&text, &m, &e);
    pthread_mutex_unlock(&l->lock);
    if (text)
        dialer_send(l->dialer, text); /* a heartbeat that cannot be queued now is not missed */
    free(text);
}

static void check_connection(struct client *l)
{
    double since;
    char why[512] = "";
    enum line_state line = dialer_line(l->dialer, &since);
    if (line == LINE_REFUSED)
        snprintf(why, sizeof why, "a different coordinator answers at %s", l->endpoint);
    else if (line == LINE_DOWN && clock_seconds() - since > l->heartbeat_timeout)
        snprintf(why, sizeof why, "the coordinator at %s has been unreachable for %.1f s", l->endpoint, clock_seconds() - since);
    if (!why[0])
        return;
    pthread_mutex_lock(&l->lock);
    if (!l->status.lost)
        mark_lost(l, why);
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
}

static bool is_ending(struct client *l)
{
    pthread_mutex_lock(&l->lock);
    bool ending = l->ending;
    pthread_mutex_unlock(&l->lock);
    return ending;
}

static void *run_thread(void *argument)
{
    struct client *l = argument;
    double next = clock_seconds(), flush_deadline = INFINITY;
    for (;;) {
        double now = clock_seconds();
        if (now >= next) {
            send_heartbeat(l);
            next = now + l->beat_interval;
        }
        bool empty = flush_outbox(l);
        if (flush_deadline == INFINITY && is_ending(l))
            flush_deadline = now + FLUSH_TIMEOUT;
        if (flush_deadline < INFINITY && (empty || now >= flush_deadline || dialer_line(l->dialer, NULL) != LINE_UP))
            break;
        dialer_wait(l->dialer, l->wake, empty && flush_deadline == INFINITY ? fmax(next - now, 0.001) : 0.02);
        uint64_t count;
        if (read(l->wake, &count, sizeof count) < 0 && errno != EAGAIN)
            log_debug("the control thread's wake-up cannot be read");
        receive_all(l);
        check_connection(l);
    }
    dialer_destroy(&l->dialer);
    return NULL;
}

/* Signals belong to the training thread. */
static int start_thread(struct client *l, struct error *e)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int number = pthread_create(&l->thread, NULL, run_thread, l);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (number)
        return error_errno(e, number, "the control thread cannot be started");
    l->running = true;
    return 0;
}

/* ---- making ---- */

static int send_hello(struct client *l, struct message_hello *hello, struct error *e)
{
    char *text;
    hello->version = (char *)(uintptr_t)MUSTER_VERSION;
    struct message m = {.kind = MESSAGE_HELLO, .hello = *hello};
    if (message_encode(&text, &m, e))
        return -1;
    bool sent = true;
    for (unsigned copies = fault_copies(message_name(m.kind)); copies && sent; copies--)
        sent = dialer_send(l->dialer, text);
    free(text);
    return sent ? 0 : error_set(e, ERROR_FAILED, "control connection: hello cannot be sent");
}

static int check_line(struct client *l, double start, struct error *e)
{
    double now = clock_seconds();
    switch (dialer_line(l->dialer, NULL)) {
    case LINE_UP:
        return 0;
    case LINE_REFUSED:
        return error_set(
            e, ERROR_FAILED,
            "the coordinator at %s does not accept the key of the connection file; use the file of the run that is going on",
            l->endpoint);
    case LINE_DOWN:
        break;
    }
    if (now - start < CONNECT_TIMEOUT)
        return 0;
    return error_set(e, ERROR_FAILED,
                     "no coordinator of this connection file answers at %s within %.0f s; is muster still running, and can this "
                     "host reach it?",
                     l->endpoint, CONNECT_TIMEOUT);
}

/* 1: welcomed. */
static int take_answer(struct client *l, struct error *e)
{
    const char *bytes;
    size_t size;
    if (!dialer_receive(l->dialer, &bytes, &size))
        return 0;
    struct message m;
    if (message_decode(&m, bytes, size, SIDE_COORDINATOR, e))
        return -1;
    int result = 0;
    if (m.kind == MESSAGE_REFUSED || m.kind == MESSAGE_GOODBYE) {
        result = error_set(e, ERROR_FAILED, "the coordinator rejected this worker: %.800s",
                           m.kind == MESSAGE_REFUSED ? m.refused.words : "the run has finished");
    } else if (m.kind == MESSAGE_WELCOME) {
        l->heartbeat_timeout = m.welcome.heartbeat_timeout;
        if (m.welcome.time > 0)
            preflight_compare_clocks("the coordinator's host", m.welcome.time);
        result = 1;
    }
    message_free(&m);
    return result;
}

static int wait_for_welcome(struct client *l, struct message_hello *hello, struct error *e)
{
    double start = clock_seconds(), asked = start;
    int welcome;
    while (!(welcome = take_answer(l, e))) {
        if (check_line(l, start, e) || stop_check(e))
            return -1;
        if (clock_seconds() - asked > RETRY_INTERVAL && dialer_line(l->dialer, NULL) == LINE_UP) {
            asked = clock_seconds();
            if (send_hello(l, hello, e))
                return -1;
        }
        dialer_wait(l->dialer, -1, 0.1);
    }
    return welcome == 1 ? 0 : -1;
}

static void create_locks(struct client *l)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&l->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&l->lock, NULL);
}

static int open_connection(struct client *l, const struct connection *c, struct message_hello *hello, struct error *e)
{
    char peer[PEER_NAME];
    peer_write(peer, hello->group, hello->rank);
    return dialer_create(&l->dialer, c, peer, e) || send_hello(l, hello, e) || wait_for_welcome(l, hello, e) ? -1 : 0;
}

static int connect_client(struct client *l, const char *path, struct message_hello *hello, struct error *e)
{
    struct connection c = {0};
    if (connection_read(&c, path, e))
        return -1;
    int result;
    l->endpoint = duplicate(c.endpoint);
    if (!c.endpoint)
        result = error_set(e, ERROR_FAILED, "%s: the run has finished", path);
    else
        result = open_connection(l, &c, hello, e);
    connection_free(&c);
    return result;
}

int client_create(struct client **ret, const char *connection, struct message_hello *hello, struct error *e)
{
    struct client *l = allocate(1, sizeof *l);
    l->rank = hello->rank;
    create_locks(l);
    l->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->wake < 0) {
        error_errno(e, errno, "the control thread cannot be started");
        goto fail;
    }
    if (connect_client(l, connection, hello, e))
        goto fail;
    l->beat_interval = fmin(1, l->heartbeat_timeout / 5);
    if (start_thread(l, e))
        goto fail;
    *ret = l;
    return 0;
fail:
    client_destroy(&l);
    return -1;
}

void client_destroy(struct client **client)
{
    struct client *l = client ? *client : NULL;
    if (!l)
        return;
    if (l->running) {
        pthread_mutex_lock(&l->lock);
        l->ending = true;
        pthread_mutex_unlock(&l->lock);
        wake_thread(l);
        pthread_join(l->thread, NULL);
    }
    dialer_destroy(&l->dialer);
    if (l->wake >= 0)
        close(l->wake);
    if (l->has_lease)
        message_free(&l->lease);
    if (l->has_decision)
        message_free(&l->decision);
    for (size_t i = 0; i < l->outgoing; i++)
        free(l->outbox[i]);
    free(l->outbox);
    free(l->outcome);
    free(l->endpoint);
    pthread_cond_destroy(&l->changed);
    pthread_mutex_destroy(&l->lock);
    free(l);
    *client = NULL;
}

/* ---- on the training thread ---- */

double client_heartbeat_timeout(const struct client *l)
{
    return l->heartbeat_timeout;
}

static struct timespec moment(double seconds_from_now)
{
    double at = clock_seconds() + seconds_from_now;
    time_t whole = (time_t)at;
    return (struct timespec){whole, (long)((at - (double)whole) * 1e9)};
}

static bool differs(const struct client_status *a, const struct client_status *b)
{
    return a->stop != b->stop || a->goodbye != b->goodbye || a->lost != b->lost;
}

bool client_wait(struct client *l, double seconds, struct message *lease, struct client_status *status)
{
    struct timespec until = moment(seconds);
    pthread_mutex_lock(&l->lock);
    while (!l->has_lease && !differs(&l->status, status))
        if (pthread_cond_timedwait(&l->changed, &l->lock, &until))
            break;
    bool came = l->has_lease;
    if (came)
        *lease = l->lease;
    l->has_lease = false;
    *status = l->status;
    pthread_mutex_unlock(&l->lock);
    return came;
}

void client_poll(struct client *l, struct client_status *status)
{
    pthread_mutex_lock(&l->lock);
    *status = l->status;
    pthread_mutex_unlock(&l->lock);
}

void client_set_progress(struct client *l, const struct message_beat *b)
{
    pthread_mutex_lock(&l->lock);
    l->beat = *b;
    pthread_mutex_unlock(&l->lock);
}

static void remember_outcome(struct client *l, const struct message *m, const char *text)
{
    bool result = m->kind == MESSAGE_RESULT, failed = m->kind == MESSAGE_FAILED;
    if (!result && !failed && m->kind != MESSAGE_STOPPED)
        return;
    free(l->outcome);
    l->outcome = duplicate(text);
    l->concluded = result ? m->result.lease : failed ? m->failed.lease : m->stopped.lease;
    l->outcome_is_stopped = !result && !failed;
}

int client_send(struct client *l, const struct message *m, struct error *e)
{
    char *text;
    if (message_encode(&text, m, e))
        return -1;
    pthread_mutex_lock(&l->lock);
    remember_outcome(l, m, text);
    queue_message(l, text, message_name(m->kind));
    pthread_mutex_unlock(&l->lock);
    free(text);
    wake_thread(l);
    return 0;
}

/* With the lock: the decision that is waited for; one on an earlier epoch is dropped. */
static bool has_answer(struct client *l, const struct message_epoch *request)
{
    if (!l->has_decision)
        return false;
    if (l->decision.verdict.lease == request->lease && l->decision.verdict.epoch == request->epoch)
        return true;
    message_free(&l->decision);
    l->has_decision = false;
    return false;
}

int client_ask(struct client *l, const struct message *epoch, struct message *ret, struct error *e)
{
    char *text;
    if (message_encode(&text, epoch, e))
        return -1;
    double stopped_at = INFINITY; /* a coordinator that stops still answers, but not indefinitely */
    double ask_at = clock_seconds();
    bool answered;
    pthread_mutex_lock(&l->lock);
    while (!(answered = has_answer(l, &epoch->epoch)) && !l->status.lost && !l->status.goodbye) {
        if (l->status.stop && stopped_at == INFINITY)
            stopped_at = clock_seconds() + l->heartbeat_timeout;
        if (clock_seconds() > stopped_at)
            break;
        if (clock_seconds() >= ask_at) {
            queue_message(l, text, message_name(epoch->kind));
            wake_thread(l);
            ask_at = clock_seconds() + RETRY_INTERVAL;
        }
        struct timespec until = moment(1);
        pthread_cond_timedwait(&l->changed, &l->lock, &until);
    }
    if (answered)
        *ret = l->decision;
    l->has_decision = false;
    pthread_mutex_unlock(&l->lock);
    free(text);
    return answered ? 0 : error_set(e, ERROR_STOPPED, "stopped while waiting for the decision on epoch %u", epoch->epoch.epoch);
}
