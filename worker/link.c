/* Owns the thread that speaks with the coordinator. */
#include "worker/link.h"

#include "common/base/buffer.h"
#include "common/base/clock.h"
#include "common/base/fault.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/base/operation.h"
#include "common/base/stop.h"
#include "common/base/version.h"
#include "proto/dialer.h"
#include "worker/introduction.h"

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

#define CONNECT_WITHIN 10.0 /* seconds: the coordinator listens before it writes the connection file */
#define FLUSH_WITHIN 2.0
#define REPEAT_EVERY 2.0 /* a question that has no answer may have been lost */

struct link {
    struct dialer *dialer; /* of the creator, then of the thread */
    pthread_t thread;
    bool running;
    uint32_t rank;
    int wake; /* eventfd: something is in the outbox */
    char *endpoint;
    double heartbeat_timeout, beat_every;

    pthread_mutex_t lock; /* holds all below */
    pthread_cond_t changed;
    bool ending;
    struct link_news news;
    struct message lease, verdict;
    bool has_lease, has_verdict;
    struct message_beat beat;
    uint64_t taken; /* number of the last lease that came */
    char *outcome;  /* what was said last about a lease, owned; of lease `concluded` */
    uint64_t concluded;
    bool outcome_stopped;
    char **outbox; /* texts of messages, owned */
    size_t outgoing, capacity;
};

static void wake_thread(struct link *l)
{
    uint64_t one = 1;
    if (write(l->wake, &one, sizeof one) < 0)
        log_debug("the control thread cannot be woken");
}

/* ---- on the thread ---- */

static void ask_to_stop(void)
{
    /* From here on the coordinator leads: the signal that made it stop may reach us too, as a second one, and must not end us
     * while we save. */
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGUSR1, SIG_IGN);
    stop_request();
}

/* Rank 0 decides what follows for its group. */
static void lose(struct link *l, const char *why)
{
    if (l->rank)
        return;
    l->news.lost = true;
    snprintf(l->news.why, sizeof l->news.why, "%s", why);
    ask_to_stop();
}

static void send_text(struct link *l, const char *text, const char *name)
{
    for (unsigned copies = fault_copies(name); copies; copies--) {
        l->outbox = grow(l->outbox, &l->capacity, l->outgoing + 1, sizeof *l->outbox);
        l->outbox[l->outgoing++] = duplicate(text);
    }
}

static void repeat_outcome(struct link *l)
{
    if (l->outcome)
        send_text(l, l->outcome, "");
}

/* One that has come before is asked for: its outcome was lost, or it is at work and the coordinator does not know yet. */
static void take_lease(struct link *l, struct message *m)
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

static void take_verdict(struct link *l, struct message *m)
{
    if (l->has_verdict)
        message_free(&l->verdict);
    l->verdict = *m;
    l->has_verdict = true;
    *m = (struct message){.kind = MESSAGE_STOP};
}

static void take_stop(struct link *l, struct message *m)
{
    (void)m;
    if (l->news.stop && l->outcome_stopped)
        repeat_outcome(l);
    l->news.stop = true;
    ask_to_stop();
}

static void take_goodbye(struct link *l, struct message *m)
{
    l->news.goodbye = true;
    l->news.exit_code = m->goodbye.exit_code;
    ask_to_stop();
}

static void take_refused(struct link *l, struct message *m)
{
    char why[512];
    snprintf(why, sizeof why, "the coordinator sent us away: %.400s", m->refused.words);
    lose(l, why);
}

static void (*const takers[MESSAGE_KINDS])(struct link *l, struct message *m) = {
    [MESSAGE_LEASE] = take_lease,     [MESSAGE_VERDICT] = take_verdict, [MESSAGE_STOP] = take_stop,
    [MESSAGE_GOODBYE] = take_goodbye, [MESSAGE_REFUSED] = take_refused,
};

static void take_message(struct link *l, const char *bytes, size_t size)
{
    struct message m;
    struct error e;
    if (message_decode(&m, bytes, size, SIDE_COORDINATOR, &e)) {
        log_warn("from the coordinator: %s", e.message);
        return;
    }
    if (takers[m.kind])
        takers[m.kind](l, &m);
    message_free(&m);
}

static void take_all(struct link *l)
{
    const char *bytes;
    size_t size;
    pthread_mutex_lock(&l->lock);
    while (dialer_receive(l->dialer, &bytes, &size))
        take_message(l, bytes, size);
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
}

/* True if nothing is left. */
static bool send_all(struct link *l)
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

static void beat(struct link *l)
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
        dialer_send(l->dialer, text); /* one that does not fit now is not missed */
    free(text);
}

static void watch_line(struct link *l)
{
    double since;
    char why[512] = "";
    enum line_state line = dialer_line(l->dialer, &since);
    if (line == LINE_REFUSED)
        snprintf(why, sizeof why, "another coordinator answers at %s", l->endpoint);
    else if (line == LINE_DOWN && clock_seconds() - since > l->heartbeat_timeout)
        snprintf(why, sizeof why, "the coordinator at %s is gone for %.1f s", l->endpoint, clock_seconds() - since);
    if (!why[0])
        return;
    pthread_mutex_lock(&l->lock);
    if (!l->news.lost)
        lose(l, why);
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
}

static bool told_to_end(struct link *l)
{
    pthread_mutex_lock(&l->lock);
    bool ending = l->ending;
    pthread_mutex_unlock(&l->lock);
    return ending;
}

static void *speak(void *argument)
{
    struct link *l = argument;
    double next = clock_seconds(), flushed_by = INFINITY;
    for (;;) {
        double now = clock_seconds();
        if (now >= next) {
            beat(l);
            next = now + l->beat_every;
        }
        bool empty = send_all(l);
        if (flushed_by == INFINITY && told_to_end(l))
            flushed_by = now + FLUSH_WITHIN;
        if (flushed_by < INFINITY && (empty || now >= flushed_by || dialer_line(l->dialer, NULL) != LINE_UP))
            break;
        dialer_wait(l->dialer, l->wake, empty && flushed_by == INFINITY ? fmax(next - now, 0.001) : 0.02);
        uint64_t count;
        if (read(l->wake, &count, sizeof count) < 0 && errno != EAGAIN)
            log_debug("the control thread's wake-up cannot be read");
        take_all(l);
        watch_line(l);
    }
    dialer_destroy(&l->dialer);
    return NULL;
}

/* Signals belong to the training thread. */
static int start_thread(struct link *l, struct error *e)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int number = pthread_create(&l->thread, NULL, speak, l);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (number)
        return error_errno(e, number, "the control thread cannot be started");
    l->running = true;
    return 0;
}

/* ---- making ---- */

static int send_hello(struct link *l, struct message_hello *hello, struct error *e)
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
    return sent ? 0 : error_set(e, ERROR_FAILED, "control connection: HELLO cannot be sent");
}

static int check_line(struct link *l, double start, struct error *e)
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
    if (now - start < CONNECT_WITHIN)
        return 0;
    return error_set(e, ERROR_FAILED,
                     "no coordinator of this connection file answers at %s within %.0f s; is muster still running, and can this "
                     "host reach it?",
                     l->endpoint, CONNECT_WITHIN);
}

/* 1: welcomed. */
static int take_answer(struct link *l, struct error *e)
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
        result = error_set(e, ERROR_FAILED, "the coordinator sent this worker away: %.800s",
                           m.kind == MESSAGE_REFUSED ? m.refused.words : "no work is left");
    } else if (m.kind == MESSAGE_WELCOME) {
        l->heartbeat_timeout = m.welcome.heartbeat_timeout;
        if (m.welcome.time > 0)
            introduction_compare_clocks("the coordinator's host", m.welcome.time);
        result = 1;
    }
    message_free(&m);
    return result;
}

static int wait_for_welcome(struct link *l, struct message_hello *hello, struct error *e)
{
    double start = clock_seconds(), asked = start;
    int welcome;
    while (!(welcome = take_answer(l, e))) {
        if (check_line(l, start, e) || stop_check(e))
            return -1;
        if (clock_seconds() - asked > REPEAT_EVERY && dialer_line(l->dialer, NULL) == LINE_UP) {
            asked = clock_seconds();
            if (send_hello(l, hello, e))
                return -1;
        }
        dialer_wait(l->dialer, -1, 0.1);
    }
    return welcome == 1 ? 0 : -1;
}

static void create_locks(struct link *l)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&l->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&l->lock, NULL);
}

static int dial(struct link *l, const struct connection *c, struct message_hello *hello, struct error *e)
{
    char peer[PEER_NAME];
    peer_write(peer, hello->group, hello->rank);
    return dialer_create(&l->dialer, c, peer, e) || send_hello(l, hello, e) || wait_for_welcome(l, hello, e) ? -1 : 0;
}

static int connect_link(struct link *l, const char *path, struct message_hello *hello, struct error *e)
{
    struct connection c = {0};
    if (connection_read(&c, path, e))
        return -1;
    int result;
    l->endpoint = duplicate(c.endpoint);
    if (!c.endpoint)
        result = error_set(e, ERROR_FAILED, "%s: no coordinator listens any more", path);
    else
        result = dial(l, &c, hello, e);
    connection_free(&c);
    return result;
}

int link_create(struct link **ret, const char *connection, struct message_hello *hello, struct error *e)
{
    struct link *l = allocate(1, sizeof *l);
    l->rank = hello->rank;
    create_locks(l);
    l->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->wake < 0) {
        error_errno(e, errno, "the control thread cannot be started");
        goto fail;
    }
    if (connect_link(l, connection, hello, e))
        goto fail;
    l->beat_every = fmin(1, l->heartbeat_timeout / 5);
    if (start_thread(l, e))
        goto fail;
    *ret = l;
    return 0;
fail:
    link_destroy(&l);
    return -1;
}

void link_destroy(struct link **link)
{
    struct link *l = link ? *link : NULL;
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
    if (l->has_verdict)
        message_free(&l->verdict);
    for (size_t i = 0; i < l->outgoing; i++)
        free(l->outbox[i]);
    free(l->outbox);
    free(l->outcome);
    free(l->endpoint);
    pthread_cond_destroy(&l->changed);
    pthread_mutex_destroy(&l->lock);
    free(l);
    *link = NULL;
}

/* ---- on the training thread ---- */

double link_heartbeat_timeout(const struct link *l)
{
    return l->heartbeat_timeout;
}

static struct timespec moment(double seconds_from_now)
{
    double at = clock_seconds() + seconds_from_now;
    time_t whole = (time_t)at;
    return (struct timespec){whole, (long)((at - (double)whole) * 1e9)};
}

static bool differs(const struct link_news *a, const struct link_news *b)
{
    return a->stop != b->stop || a->goodbye != b->goodbye || a->lost != b->lost;
}

bool link_wait(struct link *l, double seconds, struct message *lease, struct link_news *news)
{
    struct timespec until = moment(seconds);
    pthread_mutex_lock(&l->lock);
    while (!l->has_lease && !differs(&l->news, news))
        if (pthread_cond_timedwait(&l->changed, &l->lock, &until))
            break;
    bool came = l->has_lease;
    if (came)
        *lease = l->lease;
    l->has_lease = false;
    *news = l->news;
    pthread_mutex_unlock(&l->lock);
    return came;
}

void link_look(struct link *l, struct link_news *news)
{
    pthread_mutex_lock(&l->lock);
    *news = l->news;
    pthread_mutex_unlock(&l->lock);
}

void link_report(struct link *l, const struct message_beat *b)
{
    pthread_mutex_lock(&l->lock);
    l->beat = *b;
    pthread_mutex_unlock(&l->lock);
}

static void keep_outcome(struct link *l, const struct message *m, const char *text)
{
    bool result = m->kind == MESSAGE_RESULT, failed = m->kind == MESSAGE_FAILED;
    if (!result && !failed && m->kind != MESSAGE_STOPPED)
        return;
    free(l->outcome);
    l->outcome = duplicate(text);
    l->concluded = result ? m->result.lease : failed ? m->failed.lease : m->stopped.lease;
    l->outcome_stopped = !result && !failed;
}

int link_send(struct link *l, const struct message *m, struct error *e)
{
    char *text;
    if (message_encode(&text, m, e))
        return -1;
    pthread_mutex_lock(&l->lock);
    keep_outcome(l, m, text);
    send_text(l, text, message_name(m->kind));
    pthread_mutex_unlock(&l->lock);
    free(text);
    wake_thread(l);
    return 0;
}

/* With the lock: the verdict that is asked for; one of an older question is dropped. */
static bool has_answer(struct link *l, const struct message_epoch *question)
{
    if (!l->has_verdict)
        return false;
    if (l->verdict.verdict.lease == question->lease && l->verdict.verdict.epoch == question->epoch)
        return true;
    message_free(&l->verdict);
    l->has_verdict = false;
    return false;
}

int link_ask(struct link *l, const struct message *epoch, struct message *ret, struct error *e)
{
    char *text;
    if (message_encode(&text, epoch, e))
        return -1;
    double stopped_at = INFINITY; /* a coordinator that stops still answers, but not for ever */
    double ask_at = clock_seconds();
    bool answered;
    pthread_mutex_lock(&l->lock);
    while (!(answered = has_answer(l, &epoch->epoch)) && !l->news.lost && !l->news.goodbye) {
        if (l->news.stop && stopped_at == INFINITY)
            stopped_at = clock_seconds() + l->heartbeat_timeout;
        if (clock_seconds() > stopped_at)
            break;
        if (clock_seconds() >= ask_at) {
            send_text(l, text, message_name(epoch->kind));
            wake_thread(l);
            ask_at = clock_seconds() + REPEAT_EVERY;
        }
        struct timespec until = moment(1);
        pthread_cond_timedwait(&l->changed, &l->lock, &until);
    }
    if (answered)
        *ret = l->verdict;
    l->has_verdict = false;
    pthread_mutex_unlock(&l->lock);
    free(text);
    return answered ? 0 : error_set(e, ERROR_STOPPED, "stopped while the coordinator judged epoch %u", epoch->epoch.epoch);
}
