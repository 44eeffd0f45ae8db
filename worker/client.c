/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the thread of the control connection. */
#include "worker/client.h"

#include "common/base/buffer.h"
#include "common/base/clock.h"
#include "common/base/fault.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/base/operation.h"
#include "common/base/stop.h"
#include "common/base/thread.h"
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

#define CONNECT_TIMEOUT 10.0  /* seconds: the coordinator listens before it writes the connection file */
#define GIVEN_UP_TIMEOUT 10.0 /* seconds that a refused rank waits for rank 0 to end it */
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
    double refused_since; /* clock_seconds, of a rank other than 0; 0: it was not refused */
    struct message_beat beat;
    uint64_t taken; /* number of the last lease that came */
    char *outcome;  /* the last message about the outcome of a lease, owned; of lease `concluded` */
    uint64_t concluded;
    bool outcome_is_stopped;
    char **outbox; /* texts of messages, owned */
    size_t outgoing, capacity;
};

static void wake_thread(struct client *client)
{
    uint64_t one = 1;
    if (write(client->wake, &one, sizeof one) < 0)
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
static void mark_lost(struct client *client, const char *why)
{
    if (client->rank)
        return;
    client->status.lost = true;
    snprintf(client->status.why, sizeof client->status.why, "%s", why);
    request_stop();
}

static void queue_message(struct client *client, const char *text, const char *name)
{
    for (unsigned copies = fault_copies(name); copies; copies--) {
        client->outbox = grow(client->outbox, &client->capacity, client->outgoing + 1, sizeof *client->outbox);
        client->outbox[client->outgoing++] = duplicate(text);
    }
}

static void repeat_outcome(struct client *client)
{
    if (client->outcome)
        queue_message(client, client->outcome, "");
}

/* A lease that was received before is offered again: its outcome was lost, or it is running and the coordinator does not know
 * yet. */
static void on_lease(struct client *client, struct message *m)
{
    if (m->lease.lease == client->concluded)
        repeat_outcome(client);
    if (m->lease.lease == client->taken)
        return;
    if (client->has_lease)
        message_free(&client->lease);
    client->lease = *m;
    client->taken = m->lease.lease;
    client->has_lease = true;
    *m = (struct message){.kind = MESSAGE_STOP};
}

static void on_decision(struct client *client, struct message *m)
{
    if (client->has_decision)
        message_free(&client->decision);
    client->decision = *m;
    client->has_decision = true;
    *m = (struct message){.kind = MESSAGE_STOP};
}

static void on_stop(struct client *client, struct message *m)
{
    (void)m;
    if (client->status.stop && client->outcome_is_stopped)
        repeat_outcome(client);
    client->status.stop = true;
    request_stop();
}

static void on_goodbye(struct client *client, struct message *m)
{
    client->status.goodbye = true;
    client->status.exit_code = m->goodbye.exit_code;
    request_stop();
}

static void on_refused(struct client *client, struct message *m)
{
    char why[512];
    if (client->rank && !(client->refused_since > 0)) {
        client->refused_since = clock_seconds();
        log_warn("rank %u: the coordinator rejected this rank: %.400s", client->rank, m->refused.reason);
    }
    snprintf(why, sizeof why, "the coordinator rejected this worker: %.400s", m->refused.reason);
    mark_lost(client, why);
}

static void (*const handlers[MESSAGE_KINDS])(struct client *client, struct message *m) = {
    [MESSAGE_LEASE] = on_lease,     [MESSAGE_EPOCH_DECISION] = on_decision, [MESSAGE_STOP] = on_stop,
    [MESSAGE_GOODBYE] = on_goodbye, [MESSAGE_REFUSED] = on_refused,
};

static void handle_message(struct client *client, const char *bytes, size_t size)
{
    struct message m;
    struct error e;
    if (message_decode(&m, bytes, size, SIDE_COORDINATOR, &e)) {
        log_warn("from the coordinator: %s", e.message);
        return;
    }
    if (handlers[m.kind])
        handlers[m.kind](client, &m);
    message_free(&m);
}

static void receive_all(struct client *client)
{
    const char *bytes;
    size_t size;
    pthread_mutex_lock(&client->lock);
    while (dialer_receive(client->dialer, &bytes, &size))
        handle_message(client, bytes, size);
    pthread_cond_broadcast(&client->changed);
    pthread_mutex_unlock(&client->lock);
}

/* True if the outbox is empty. */
static bool flush_outbox(struct client *client)
{
    pthread_mutex_lock(&client->lock);
    size_t sent = 0;
    while (sent < client->outgoing && dialer_send(client->dialer, client->outbox[sent]))
        free(client->outbox[sent++]);
    client->outgoing -= sent;
    if (sent && client->outgoing)
        memmove(client->outbox, client->outbox + sent, client->outgoing * sizeof *client->outbox);
    bool empty = !client->outgoing;
    pthread_mutex_unlock(&client->lock);
    return empty;
}

static void send_heartbeat(struct client *client)
{
    struct message m = {.kind = MESSAGE_BEAT};
    struct error e;
    char *text = NULL;
    pthread_mutex_lock(&client->lock);
    m.beat = client->beat;
    m.beat.operation = m.beat.lease ? (char *)(uintptr_t)operation_now() : NULL;
    message_encode(&text, &m, &e);
    pthread_mutex_unlock(&client->lock);
    if (text)
        dialer_send(client->dialer, text); /* a heartbeat that cannot be queued now is not missed */
    free(text);
}

static void check_connection(struct client *client)
{
    double since;
    char why[512] = "";
    enum line_state line = dialer_line(client->dialer, &since);
    if (line == LINE_REFUSED)
        snprintf(why, sizeof why, "a different coordinator answers at %s", client->endpoint);
    else if (line == LINE_DOWN && clock_seconds() - since > client->heartbeat_timeout)
        snprintf(why, sizeof why, "the coordinator at %s has been unreachable for %.1f s", client->endpoint,
                 clock_seconds() - since);
    if (!why[0])
        return;
    pthread_mutex_lock(&client->lock);
    if (!client->status.lost)
        mark_lost(client, why);
    pthread_cond_broadcast(&client->changed);
    pthread_mutex_unlock(&client->lock);
}

/* A rank whose group the coordinator has given up must not go on: its peers may be gone, and it may wait for them in a
 * collective. Rank 0, if it lives, gets GOODBYE and ends them all; this is for when it does not. */
static void exit_if_given_up(struct client *client)
{
    pthread_mutex_lock(&client->lock);
    double since = client->refused_since;
    bool ending = client->ending;
    pthread_mutex_unlock(&client->lock);
    if (ending || !(since > 0) || clock_seconds() - since < fmin(client->heartbeat_timeout, GIVEN_UP_TIMEOUT))
        return;
    log_warn("rank %u: the coordinator has given up this worker group; exiting", client->rank);
    _exit(ERROR_FAILED);
}

static bool is_ending(struct client *client)
{
    pthread_mutex_lock(&client->lock);
    bool ending = client->ending;
    pthread_mutex_unlock(&client->lock);
    return ending;
}

static void *run_thread(void *argument)
{
    struct client *client = argument;
    double next = clock_seconds(), flush_deadline = INFINITY;
    for (;;) {
        double now = clock_seconds();
        if (now >= next) {
            send_heartbeat(client);
            next = now + client->beat_interval;
        }
        bool empty = flush_outbox(client);
        if (flush_deadline == INFINITY && is_ending(client))
            flush_deadline = now + FLUSH_TIMEOUT;
        if (flush_deadline < INFINITY && (empty || now >= flush_deadline || dialer_line(client->dialer, NULL) != LINE_UP))
            break;
        dialer_wait(client->dialer, client->wake, empty && flush_deadline == INFINITY ? fmax(next - now, 0.001) : 0.02);
        uint64_t count;
        if (read(client->wake, &count, sizeof count) < 0 && errno != EAGAIN)
            log_debug("the control thread's wake-up cannot be read");
        receive_all(client);
        check_connection(client);
        exit_if_given_up(client);
    }
    dialer_destroy(&client->dialer);
    return NULL;
}

static int start_thread(struct client *client, struct error *e)
{
    int number = thread_start(&client->thread, run_thread, client);
    if (number)
        return error_errno(e, number, "the control thread cannot be started");
    client->running = true;
    return 0;
}

/* ---- making ---- */

static int send_hello(struct client *client, struct message_hello *hello, struct error *e)
{
    char *text;
    hello->protocol = PROTOCOL_VERSION;
    hello->version = (char *)(uintptr_t)MUSTER_VERSION;
    struct message m = {.kind = MESSAGE_HELLO, .hello = *hello};
    if (message_encode(&text, &m, e))
        return -1;
    bool sent = true;
    for (unsigned copies = fault_copies(message_name(m.kind)); copies && sent; copies--)
        sent = dialer_send(client->dialer, text);
    free(text);
    return sent ? 0 : error_set(e, ERROR_FAILED, "control connection: hello cannot be sent");
}

static int check_answering(struct client *client, double start, struct error *e)
{
    double now = clock_seconds();
    switch (dialer_line(client->dialer, NULL)) {
    case LINE_UP:
        return 0;
    case LINE_REFUSED:
        return error_set(e, ERROR_FAILED,
                         "the coordinator at %s does not accept the key of the connection file; use that of the current run",
                         client->endpoint);
    case LINE_DOWN:
        break;
    }
    if (now - start < CONNECT_TIMEOUT)
        return 0;
    return error_set(e, ERROR_FAILED,
                     "no coordinator of this connection file answers at %s within %.0f s; is muster still running, and can this "
                     "host reach it?",
                     client->endpoint, CONNECT_TIMEOUT);
}

/* 1: welcomed. */
static int receive_answer(struct client *client, struct error *e)
{
    const char *bytes;
    size_t size;
    if (!dialer_receive(client->dialer, &bytes, &size))
        return 0;
    struct message m;
    if (message_decode(&m, bytes, size, SIDE_COORDINATOR, e))
        return -1;
    int result = 0;
    if (m.kind == MESSAGE_REFUSED || m.kind == MESSAGE_GOODBYE) {
        result = error_set(e, ERROR_FAILED, "the coordinator rejected this worker: %.800s",
                           m.kind == MESSAGE_REFUSED ? m.refused.reason : "the run has finished");
    } else if (m.kind == MESSAGE_WELCOME) {
        client->heartbeat_timeout = m.welcome.heartbeat_timeout;
        if (m.welcome.time > 0)
            preflight_compare_clocks("the coordinator's host", m.welcome.time);
        result = 1;
    }
    message_free(&m);
    return result;
}

static int wait_for_welcome(struct client *client, struct message_hello *hello, struct error *e)
{
    double start = clock_seconds(), asked = start;
    int welcome;
    while (!(welcome = receive_answer(client, e))) {
        if (check_answering(client, start, e) || stop_check(e))
            return -1;
        if (clock_seconds() - asked > RETRY_INTERVAL && dialer_line(client->dialer, NULL) == LINE_UP) {
            asked = clock_seconds();
            if (send_hello(client, hello, e))
                return -1;
        }
        dialer_wait(client->dialer, -1, 0.1);
    }
    return welcome == 1 ? 0 : -1;
}

static void create_locks(struct client *client)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&client->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&client->lock, NULL);
}

static int open_connection(struct client *client, const struct connection *c, struct message_hello *hello, struct error *e)
{
    char peer[PEER_NAME];
    peer_write(peer, hello->group, hello->rank);
    return dialer_create(&client->dialer, c, peer, e) || send_hello(client, hello, e) || wait_for_welcome(client, hello, e) ? -1
                                                                                                                            : 0;
}

static int connect_client(struct client *client, const char *path, struct message_hello *hello, struct error *e)
{
    struct connection c = {0};
    if (connection_read(&c, path, e))
        return -1;
    int result;
    client->endpoint = duplicate(c.endpoint);
    if (!c.endpoint)
        result = error_set(e, ERROR_FAILED, "%s: the run has finished", path);
    else
        result = open_connection(client, &c, hello, e);
    connection_free(&c);
    return result;
}

int client_create(struct client **ret, const char *connection, struct message_hello *hello, struct error *e)
{
    struct client *client = allocate(1, sizeof *client);
    client->rank = hello->rank;
    create_locks(client);
    client->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (client->wake < 0) {
        error_errno(e, errno, "the control thread cannot be started");
        goto fail;
    }
    if (connect_client(client, connection, hello, e))
        goto fail;
    client->beat_interval = fmin(1, client->heartbeat_timeout / 5);
    if (start_thread(client, e))
        goto fail;
    *ret = client;
    return 0;
fail:
    client_destroy(&client);
    return -1;
}

void client_destroy(struct client **c)
{
    struct client *client = c ? *c : NULL;
    if (!client)
        return;
    if (client->running) {
        pthread_mutex_lock(&client->lock);
        client->ending = true;
        pthread_mutex_unlock(&client->lock);
        wake_thread(client);
        pthread_join(client->thread, NULL);
    }
    dialer_destroy(&client->dialer);
    if (client->wake >= 0)
        close(client->wake);
    if (client->has_lease)
        message_free(&client->lease);
    if (client->has_decision)
        message_free(&client->decision);
    for (size_t i = 0; i < client->outgoing; i++)
        free(client->outbox[i]);
    free(client->outbox);
    free(client->outcome);
    free(client->endpoint);
    pthread_cond_destroy(&client->changed);
    pthread_mutex_destroy(&client->lock);
    free(client);
    *c = NULL;
}

/* ---- on the training thread ---- */

double client_heartbeat_timeout(const struct client *client)
{
    return client->heartbeat_timeout;
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

bool client_wait(struct client *client, double seconds, struct message *lease, struct client_status *status)
{
    struct timespec until = moment(seconds);
    pthread_mutex_lock(&client->lock);
    while (!client->has_lease && !differs(&client->status, status))
        if (pthread_cond_timedwait(&client->changed, &client->lock, &until))
            break;
    bool came = client->has_lease;
    if (came)
        *lease = client->lease;
    client->has_lease = false;
    *status = client->status;
    pthread_mutex_unlock(&client->lock);
    return came;
}

void client_poll(struct client *client, struct client_status *status)
{
    pthread_mutex_lock(&client->lock);
    *status = client->status;
    pthread_mutex_unlock(&client->lock);
}

void client_set_progress(struct client *client, const struct message_beat *b)
{
    pthread_mutex_lock(&client->lock);
    client->beat = *b;
    pthread_mutex_unlock(&client->lock);
}

static void remember_outcome(struct client *client, const struct message *m, const char *text)
{
    bool result = m->kind == MESSAGE_RESULT, failed = m->kind == MESSAGE_FAILED;
    if (!result && !failed && m->kind != MESSAGE_STOPPED)
        return;
    free(client->outcome);
    client->outcome = duplicate(text);
    client->concluded = result ? m->result.lease : failed ? m->failed.lease : m->stopped.lease;
    client->outcome_is_stopped = !result && !failed;
}

int client_send(struct client *client, const struct message *m, struct error *e)
{
    char *text;
    if (message_encode(&text, m, e))
        return -1;
    pthread_mutex_lock(&client->lock);
    remember_outcome(client, m, text);
    queue_message(client, text, message_name(m->kind));
    pthread_mutex_unlock(&client->lock);
    free(text);
    wake_thread(client);
    return 0;
}

/* With the lock: the decision that is waited for; one on an earlier epoch is dropped. */
static bool has_answer(struct client *client, const struct message_epoch *request)
{
    if (!client->has_decision)
        return false;
    if (client->decision.epoch_decision.lease == request->lease && client->decision.epoch_decision.epoch == request->epoch)
        return true;
    message_free(&client->decision);
    client->has_decision = false;
    return false;
}

int client_ask(struct client *client, const struct message *epoch, struct message *ret, struct error *e)
{
    char *text;
    if (message_encode(&text, epoch, e))
        return -1;
    double stopped_at = INFINITY; /* a coordinator that stops still answers, but not indefinitely */
    double ask_at = clock_seconds();
    bool answered;
    pthread_mutex_lock(&client->lock);
    while (!(answered = has_answer(client, &epoch->epoch)) && !client->status.lost && !client->status.goodbye) {
        if (client->status.stop && stopped_at == INFINITY)
            stopped_at = clock_seconds() + client->heartbeat_timeout;
        if (clock_seconds() > stopped_at)
            break;
        if (clock_seconds() >= ask_at) {
            queue_message(client, text, message_name(epoch->kind));
            wake_thread(client);
            ask_at = clock_seconds() + RETRY_INTERVAL;
        }
        struct timespec until = moment(1);
        pthread_cond_timedwait(&client->changed, &client->lock, &until);
    }
    if (answered)
        *ret = client->decision;
    client->has_decision = false;
    pthread_mutex_unlock(&client->lock);
    free(text);
    return answered ? 0 : error_set(e, ERROR_STOPPED, "stopped while waiting for the decision on epoch %u", epoch->epoch.epoch);
}
