/* SPDX-License-Identifier: Apache-2.0 */
/* Handles the messages of workers, and what follows for their trials. */
#include "coordinator/dispatch/dispatch_state.h"

#include "common/base/clock.h"
#include "common/base/fault.h"
#include "common/base/log.h"
#include "common/base/machine.h"
#include "common/base/memory.h"
#include "common/base/stop.h"
#include "common/base/version.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- HELLO ---- */

/* A peer that goes on after it was refused (a rank of a group that died beats every second) is answered again, because the answer
 * may be lost, but not each time; it is logged once. */
static struct refusal *refusal_of(struct dispatch *d, const char *peer, const char *reason)
{
    const size_t most = sizeof d->refusals->reason - 1;
    for (size_t i = 0; i < REFUSALS; i++)
        if (!strcmp(d->refusals[i].peer, peer) && !strncmp(d->refusals[i].reason, reason, most))
            return &d->refusals[i];
    struct refusal *r = &d->refusals[d->next_refusal++ % REFUSALS];
    *r = (struct refusal){0};
    snprintf(r->peer, sizeof r->peer, "%s", peer);
    snprintf(r->reason, sizeof r->reason, "%s", reason);
    return r;
}

static void send_refused(struct dispatch *d, const char *peer, const char *reason)
{
    struct refusal *r = refusal_of(d, peer, reason);
    double now = clock_seconds();
    if (r->sent > 0 && now - r->sent < DISPATCH_RESEND)
        return;
    dispatch_send(d, peer, &(struct message){.kind = MESSAGE_REFUSED, .refused = {.reason = (char *)(uintptr_t)reason}});
    if (!(r->sent > 0))
        log_warn("rejected connection of worker group %s: %s", peer, reason);
    r->sent = now;
}

int dispatch_log_group(struct dispatch *d, const struct group *g, struct error *e)
{
    struct json *fields = json_object();
    json_set_string(fields, "group", g->token);
    json_set_string(fields, "host", g->hello.host);
    json_set_number(fields, "pid", g->hello.pid);
    json_set_number(fields, "ranks", g->hello.ranks);
    json_set_number(fields, "threads", g->hello.threads);
    json_set_string(fields, "device", g->hello.device);
    json_set_string(fields, "build", g->hello.build);
    json_set_string(fields, "places", g->hello.places);
    return dispatch_log_event(d, "group_started", fields, e);
}

static bool other_build(const struct dispatch *d, const struct message_hello *hello)
{
    return hello->build && d->build[0] && strcmp(hello->build, d->build);
}

/* Workers that somebody else starts may be of another build: the protocol is the same, and so are the files. */
static void warn_of_build(const struct dispatch *d, const struct group *g)
{
    if (other_build(d, &g->hello))
        log_warn(
            "worker group %s on host %s runs muster-worker %s, another build (%.12s) than this muster (%.12s): its results may "
            "differ in the last bits",
            g->token, g->hello.host, g->hello.version, g->hello.build, d->build);
}

/* The UUID that the first line of `places` ends in, and where it is; *size 0: the rank has no GPU. */
static const char *gpu_of_line(const char *places, size_t *size)
{
    size_t line = strcspn(places, "\n"), at = line;
    while (at && places[at - 1] != ' ')
        at--;
    *size = strncmp(places + at, "GPU-", 4) ? 0 : line - at;
    return places + at;
}

/* The line of `places` that has it; NULL: none. */
static const char *find_gpu(const char *places, const char *uuid)
{
    const char *at = strstr(places, uuid);
    while (at && at > places && at[-1] != '\n')
        at--;
    return at;
}

/* UUIDs are the world's: wherever its ranks are, no two may have one. other: NULL, the ranks of `places` among themselves. */
static int compare_gpus(const struct group *other, const char *places, struct error *e)
{
    for (const char *line = places; line && *line; line += strcspn(line, "\n"), line += *line == '\n') {
        size_t size;
        const char *gpu = gpu_of_line(line, &size);
        char uuid[64];
        snprintf(uuid, sizeof uuid, "%.*s", (int)size, gpu);
        const char *has = size ? find_gpu(other ? other->hello.places : places, uuid) : NULL;
        if (has && has != line)
            return error_set(e, ERROR_USAGE,
                             "%.*s: %s%.*s has this GPU; each rank needs one of its own: lower cluster.%s, or let "
                             "CUDA_VISIBLE_DEVICES show as many as there are ranks (SLURM: --gpus-per-task=1)",
                             (int)strcspn(line, "\n"), line, other ? "worker group " : "",
                             other ? PEER_NAME : (int)strcspn(has, ":"), other ? other->token : has,
                             other ? "groups" : "ranks_per_group");
    }
    return 0;
}

static int check_gpus(const struct dispatch *d, const struct group *g, const struct message_hello *hello, struct error *e)
{
    int result = compare_gpus(NULL, hello->places, e);
    for (size_t i = 0; i < d->roster.count && !result; i++) {
        const struct group *other = d->roster.groups[i];
        if (other != g && (ROSTER_LIVE >> other->state & 1) && other->hello.places)
            result = compare_gpus(other, hello->places, e);
    }
    return result;
}

/* Whether the group can be one of this run. */
static int check_hello(const struct dispatch *d, const struct group *g, const struct message_hello *hello, struct error *e)
{
    if (!g && !d->launcher->accepts_external)
        return error_set(e, ERROR_FAILED, "this run starts its worker groups itself and did not start this one");
    if (g && g->state != GROUP_STARTING)
        return error_set(e, ERROR_FAILED, "another worker group has or had this name; start the worker with another --group");
    if (hello->problem)
        return error_set(e, ERROR_FAILED, "%s", hello->problem);
    if (check_gpus(d, g, hello, e))
        return -1;
    if (!other_build(d, hello) || d->launcher->accepts_external)
        return 0;
    return error_set(e, ERROR_FAILED,
                     "host %.255s runs another build of muster-worker (%.12s) than this muster (%.12s); install the same one",
                     hello->host, hello->build, d->build);
}

/* A group that we started and that cannot work: before any could, none will, and the run fails with its reason. So it does where
 * the next one would be refused as well. */
static int refuse_own_group(struct dispatch *d, struct group *g, const struct error *why, struct error *e)
{
    if (d->had_group && why->kind != ERROR_USAGE)
        return dispatch_fail_group(d, g, -1, why->message, e);
    return error_set(e, why->kind, "worker group %s: %.900s", g->token, why->message);
}

static void show_places(const struct group *g)
{
    for (const char *line = g->hello.places; line && *line;) {
        int size = (int)strcspn(line, "\n");
        log_info("worker group %s, %.*s, %u thread%s, %s", g->token, size, line, g->hello.threads,
                 g->hello.threads == 1 ? "" : "s", g->hello.device);
        line += size + (line[size] == '\n');
    }
}

static void send_welcome(struct dispatch *d, const char *peer)
{
    dispatch_send(d, peer,
                  &(struct message){.kind = MESSAGE_WELCOME,
                                    .welcome = {.protocol = PROTOCOL_VERSION,
                                                .version = (char *)(uintptr_t)MUSTER_VERSION,
                                                .heartbeat_timeout = d->options.heartbeat_timeout,
                                                .time = clock_wall()}});
}

static bool is_same_peer(const struct group *g, const struct message_hello *hello)
{
    const char *ours = g->hello.pid_namespace, *theirs = hello->pid_namespace;
    return g->hello.host && !strcmp(g->hello.host, hello->host) && g->hello.pid == hello->pid &&
           !strcmp(ours ? ours : "", theirs ? theirs : "");
}

static int on_hello(struct dispatch *d, struct group *g, const char *peer, struct message *m, struct error *e)
{
    if (g && g->ranks && g->state != GROUP_GONE && is_same_peer(g, &m->hello)) { /* sent again: the WELCOME was lost */
        send_welcome(d, peer);
        return 0;
    }
    struct error why;
    if (check_hello(d, g, &m->hello, &why)) {
        send_refused(d, peer, why.message);
        return g && g->state == GROUP_STARTING && !d->launcher->accepts_external ? refuse_own_group(d, g, &why, e) : 0;
    }
    if (!g)
        g = roster_add(&d->roster, peer);
    g->hello = m->hello;
    m->hello = (struct message_hello){0};
    group_add_rank(g, 0, g->hello.host);
    if (dispatch_log_group(d, g, e) || state_move(&group_states, &g->state, GROUP_IDLE, e))
        return -1;
    d->failed_starts = 0;
    d->had_group = true;
    show_places(g);
    warn_of_build(d, g);
    send_welcome(d, peer);
    return 0;
}

/* It has a lease and its beats say that it has none: the LEASE was lost, or its RESULT. The worker knows which by the lease's
 * number, and sends the latter again. */
static void resend_lost_lease(struct dispatch *d, struct group *g, const struct message_beat *b)
{
    double now = clock_seconds();
    bool lost = g->state == GROUP_BUSY && b->lease != g->lease;
    if (!lost || !g->idle_since)
        g->idle_since = lost ? now : 0;
    if (!lost || now - g->idle_since < DISPATCH_RESEND)
        return;
    g->idle_since = now;
    log_debug("worker group %s: sending its lease again", g->token);
    dispatch_send_lease(d, g);
}

static int on_beat(struct dispatch *d, struct group *g, struct message *m, struct error *e)
{
    (void)e;
    if (m->beat.lease == g->lease)
        group_note_beat(g, &m->beat);
    resend_lost_lease(d, g, &m->beat);
    return 0;
}

static int note_epoch(struct dispatch *d, const char *trial, const struct message *m, const struct dispatch_decision *v,
                      struct error *e)
{
    struct json *fields = json_object();
    json_set_string(fields, "trial", trial);
    json_set_number(fields, "epoch", m->epoch.epoch);
    json_set_number(fields, "train_loss", m->epoch.train_loss);
    json_set_boolean(fields, "best", v->best);
    json_set_boolean(fields, "stop", v->stop);
    json_set(fields, "metrics", v->metrics ? json_copy(v->metrics) : json_null());
    if (v->decision)
        json_set(fields, "decision", json_copy(v->decision));
    return dispatch_log_event(d, "epoch", fields, e);
}

static int store_decision(struct group *g, const struct message *decision, struct error *e)
{
    char *text;
    if (message_encode(&text, decision, e))
        return -1;
    free(g->decision);
    g->decision = text;
    g->decided_epoch = decision->epoch_decision.epoch;
    return 0;
}

static int on_epoch(struct dispatch *d, struct group *g, struct message *m, struct error *e)
{
    if (!dispatch_lease_of(d, g) || m->epoch.lease != g->lease)
        return 0;
    if (!d->observer)
        return error_set(e, ERROR_FAILED, "worker group %s reports an epoch of a trial that does not train", g->token);
    if (g->decided_epoch == m->epoch.epoch) { /* sent again: the decision was lost */
        dispatch_send_encoded(d, g->token, MESSAGE_EPOCH_DECISION, g->decision);
        return 0;
    }
    struct dispatch_decision v = {0};
    int result = d->observer->epoch(d->observer->context, g->trial, m->epoch.epoch, m->epoch.train_loss, &v, e);
    if (!result)
        result = note_epoch(d, d->trials[g->trial].key, m, &v, e);
    const struct message decision = {.kind = MESSAGE_EPOCH_DECISION,
                                     .epoch_decision = {g->lease, m->epoch.epoch, v.best, v.stop, v.metrics}};
    if (!result && !(result = store_decision(g, &decision, e)))
        dispatch_send_encoded(d, g->token, MESSAGE_EPOCH_DECISION, g->decision);
    json_destroy(&v.metrics);
    json_destroy(&v.decision);
    return result;
}

static struct json *result_fields(const struct dispatch *d, const struct group *g, const struct message_result *r)
{
    struct json *fields = json_object();
    json_set_string(fields, "trial", d->trials[g->trial].key);
    json_set_string(fields, "group", g->token);
    json_set_number(fields, "lease", (double)g->lease);
    json_set_number(fields, "epochs_done", r->epochs_done);
    json_set_number(fields, "best_epoch", r->best_epoch);
    json_set_number(fields, "steps", (double)r->steps);
    json_set_number(fields, "tokens", (double)r->tokens);
    json_set_number(fields, "seconds", r->seconds);
    json_set_string(fields, "best_weights", r->best_weights);
    return fields;
}

static int on_result(struct dispatch *d, struct group *g, struct message *m, struct error *e)
{
    const struct message_result *r = &m->result;
    if (!dispatch_lease_of(d, g) || r->lease != g->lease)
        return 0;
    if (dispatch_log_event(d, "trial_done", result_fields(d, g, r), e) || state_move(&group_states, &g->state, GROUP_IDLE, e))
        return -1;
    g->lease = 0;
    d->counts.steps += r->steps;
    d->counts.tokens += r->tokens;
    d->counts.seconds += r->seconds;
    struct dispatch_result result = {r->epochs_done, r->best_epoch, r->steps, r->tokens, r->seconds, r->best_weights};
    return dispatch_end_trial(d, g->trial, LEASE_DONE, &result, NULL, e);
}

static int on_failed(struct dispatch *d, struct group *g, struct message *m, struct error *e)
{
    if (!dispatch_lease_of(d, g) || m->failed.lease != g->lease)
        return 0;
    if (!m->failed.healthy)
        return dispatch_fail_group(d, g, -1, m->failed.reason, e);
    struct error why;
    error_set(&why, (enum error_kind)m->failed.kind, "%s", m->failed.reason);
    if (state_move(&group_states, &g->state, GROUP_IDLE, e))
        return -1;
    g->lease = 0;
    return dispatch_fail_trial(d, g->trial, &why, e);
}

/* A group that we started was asked to stop while it was at work, by a scheduler or by hand, and all its ranks have saved: that
 * is meant for the run. (What mpirun does to the ranks beside one that died looks like it, but those cannot save together.) */
static void adopt_stop(struct dispatch *d, const struct group *g, const struct message_stopped *m)
{
    if (d->stopping || !d->launcher->start || !m->lease)
        return;
    log_info("worker group %s (host %s) received a signal to stop: stopping the run", g->token, g->hello.host);
    stop_request();
    dispatch_begin_stop(d);
}

static int on_stopped(struct dispatch *d, struct group *g, struct message *m, struct error *e)
{
    if (g->state == GROUP_STOPPED)
        return 0;
    adopt_stop(d, g, &m->stopped);
    bool leaves = !d->stopping || (m->stopped.leaving && !d->launcher->start);
    if (leaves)
        dispatch_send_goodbye(d, g->token, dispatch_goodbye_code(d, ERROR_STOPPED));
    if (leaves)
        return dispatch_fail_group(d, g, 0, "it was stopped by a signal", e);
    struct error why = {ERROR_STOPPED, "stopped"};
    if (state_move(&group_states, &g->state, GROUP_STOPPED, e))
        return -1;
    return dispatch_requeue_trial(d, g, &why, e);
}

static int (*const handlers[MESSAGE_KINDS])(struct dispatch *d, struct group *g, struct message *m, struct error *e) = {
    [MESSAGE_BEAT] = on_beat,     [MESSAGE_EPOCH] = on_epoch,     [MESSAGE_RESULT] = on_result,
    [MESSAGE_FAILED] = on_failed, [MESSAGE_STOPPED] = on_stopped,
};

/* A rank beside rank 0 only introduces itself and beats. */
static void handle_rank(struct dispatch *d, struct group *g, uint32_t rank, const char *peer, const struct message *m)
{
    if (!g || !g->ranks || g->state == GROUP_GONE || rank >= g->hello.ranks) {
        send_refused(d, peer,
                     g && g->state == GROUP_GONE ? "this worker group was given up"
                                                 : "this run has no such worker group or rank");
        return;
    }
    if (m->kind == MESSAGE_HELLO) {
        group_add_rank(g, rank, m->hello.host);
        send_welcome(d, peer);
    } else if (g->ranks[rank].last_message > 0) {
        group_note_message(g, rank, m->kind == MESSAGE_BEAT ? &m->beat : NULL);
    }
}

static void send_goodbye_again(struct dispatch *d, struct group *g)
{
    if (g->goodbye_sent > 0 && clock_seconds() - g->goodbye_sent < DISPATCH_RESEND)
        return;
    g->goodbye_sent = clock_seconds();
    dispatch_send_goodbye(d, g->token, dispatch_goodbye_code(d, ERROR_FAILED));
}

static int handle_message(struct dispatch *d, const char *peer, struct message *m, struct error *e)
{
    uint32_t rank;
    struct group *g = roster_find(&d->roster, peer, &rank);
    if (rank) {
        handle_rank(d, g, rank, peer, m);
        return 0;
    }
    if (m->kind == MESSAGE_HELLO)
        return on_hello(d, g, peer, m, e);
    if (!g || g->state == GROUP_STARTING)
        return 0;                 /* it has not sent HELLO */
    if (g->state == GROUP_GONE) { /* given up, yet alive: its lease may be another group's by now */
        send_goodbye_again(d, g);
        return 0;
    }
    group_note_message(g, 0, m->kind == MESSAGE_BEAT ? &m->beat : NULL);
    return handlers[m->kind](d, g, m, e);
}

static int handle_bytes(struct dispatch *d, const char *peer, const char *bytes, size_t size, struct error *e)
{
    struct message m;
    struct error reason;
    if (message_decode(&m, bytes, size, SIDE_WORKER, &reason)) {
        send_refused(d, peer, reason.message);
        return 0;
    }
    d->counts.messages[m.kind]++;
    int result = handle_message(d, peer, &m, e);
    message_free(&m);
    return result;
}

/* All messages that are there are handled before silence counts as death. */
int dispatch_receive(struct dispatch *d, struct error *e)
{
    char peer[PEER_NAME];
    const char *bytes;
    size_t size;
    double wait = DISPATCH_POLL;
    for (int taken; (taken = listener_receive(d->listener, peer, &bytes, &size, wait, e)); wait = 0)
        if (taken < 0 || handle_bytes(d, peer, bytes, size, e))
            return -1;
    return 0;
}
