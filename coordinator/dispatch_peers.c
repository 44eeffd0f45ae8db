/* Owns what dispatch hears from workers and what follows for their trials. */
#include "coordinator/dispatch_state.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/version.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int dispatch_note(struct dispatch *d, const char *event, struct json *fields, struct error *e)
{
    if (d->log)
        return event_log_append(d->log, event, fields, e);
    json_destroy(&fields);
    return 0;
}

bool dispatch_send(struct dispatch *d, const struct group *g, const struct message *m)
{
    char *text;
    struct error e;
    if (message_encode(&text, m, &e)) {
        log_warn("group %s: %s", g->token, e.text);
        return false;
    }
    bool sent = listener_send(d->listener, g->token, text);
    free(text);
    return sent;
}

/* To one that is no group of ours, or no longer: it does not matter whether it hears. */
static void say(struct dispatch *d, const char *peer, const struct message *m)
{
    struct error e;
    char *text;
    if (message_encode(&text, m, &e))
        return;
    listener_send(d->listener, peer, text);
    free(text);
}

void dispatch_dismiss(struct dispatch *d, const char *peer, int exit_code)
{
    say(d, peer, &(struct message){.kind = MESSAGE_GOODBYE, .goodbye = {.exit_code = exit_code}});
}

/* A worker's exit code matters to whoever started it; mpirun would only complain of one that is not 0. */
int dispatch_goodbye_code(const struct dispatch *d, int exit_code)
{
    return d->launcher->start ? 0 : exit_code;
}

/* ---- trials and their ends ---- */

static struct lease *lease_of(struct dispatch *d, const struct group *g)
{
    return g->lease && d->trials && g->trial < d->leases.count && d->leases.items[g->trial].number == g->lease
               ? &d->leases.items[g->trial]
               : NULL;
}

static int end_trial(struct dispatch *d, size_t i, enum lease_state state, const struct dispatch_result *result,
                     const struct error *why, struct error *e)
{
    if (state_move(&lease_states, &d->leases.items[i].state, state, e))
        return -1;
    return d->observer ? d->observer->ended(d->observer->context, i, result, why, e) : 0;
}

static int fail_trial(struct dispatch *d, size_t i, const struct error *why, struct error *e)
{
    struct json *fields = json_object();
    json_set_text(fields, "trial", d->trials[i].key);
    json_set_number(fields, "kind", why->kind);
    json_set_text(fields, "why", why->text);
    if (dispatch_note(d, "trial_failed", fields, e))
        return -1;
    if (!d->first_failure.kind)
        d->first_failure = *why;
    return end_trial(d, i, LEASE_FAILED, NULL, why, e);
}

/* The trial of a group that is no more: back to the queue, or given up. */
static int return_trial(struct dispatch *d, struct group *g, const struct error *why, struct error *e)
{
    struct lease *lease = lease_of(d, g);
    size_t i = g->trial;
    g->lease = 0;
    if (!lease)
        return 0;
    if (!d->stopping && lease->deaths++ >= d->options.restarts) {
        struct error words;
        error_set(&words, ERROR_FAILED, "given up after %d death%s of its worker group; the last one: %.800s", lease->deaths,
                  lease->deaths == 1 ? "" : "s", why->text);
        return fail_trial(d, i, &words, e);
    }
    if (!d->stopping)
        log_info("trial %s: another group takes it up from its last checkpoint (try %d of %d)", d->trials[i].key,
                 lease->deaths + 1, d->options.restarts + 1);
    return state_move(&lease_states, &lease->state, LEASE_QUEUED, e);
}

/* "group 1: host n7, rank 2, step 31, train: why" */
static void describe_death(struct error *ret, const struct group *g, int rank, const char *host, const char *why)
{
    char place[128] = "";
    if (rank >= 0)
        snprintf(place, sizeof place, ", rank %d", rank);
    if (g->lease && g->beat.steps)
        snprintf(place + strlen(place), sizeof place - strlen(place), ", step %" PRIu64, g->beat.step);
    if (g->lease && g->operation[0])
        snprintf(place + strlen(place), sizeof place - strlen(place), ", %.40s", g->operation);
    error_set(ret, ERROR_FAILED, "worker group %s: host %s%s: %.700s", g->token, host, place, why);
}

static struct json *death_fields(const struct dispatch *d, const struct group *g, int rank, const char *host, const char *why)
{
    struct json *fields = json_object();
    json_set_text(fields, "group", g->token);
    json_set_text(fields, "host", host);
    json_set(fields, "rank", rank >= 0 ? json_of_number(rank) : json_null());
    json_set(fields, "step", g->lease && g->beat.steps ? json_of_number((double)g->beat.step) : json_null());
    json_set_text(fields, "operation", g->lease && g->operation[0] ? g->operation : NULL);
    json_set_text(fields, "trial", g->lease && d->trials ? d->trials[g->trial].key : NULL);
    json_set_text(fields, "why", why);
    return fields;
}

static int count_failed_start(struct dispatch *d, const char *why, struct error *e)
{
    if (d->failed_starts++ < d->options.restarts)
        return 0;
    return error_set(e, ERROR_FAILED, "no worker group came up in %d tries: %.800s; its own words are above", d->failed_starts,
                     why);
}

int dispatch_group_dies(struct dispatch *d, struct group *g, const char *why, struct error *e)
{
    bool early = g->state == GROUP_STARTING;
    char local[256] = "?";
    gethostname(local, sizeof local - 1);
    int rank = g->output.lost_rank >= 0 ? g->output.lost_rank : d->options.ranks_per_group == 1 ? 0 : -1;
    const char *host = g->output.lost_rank >= 0 ? g->output.lost_host : g->hello.host ? g->hello.host : local;
    struct error death;
    d->counts.deaths++;
    describe_death(&death, g, rank, host, why);
    if (dispatch_note(d, "group_died", death_fields(d, g, rank, host, why), e) ||
        state_move(&group_states, &g->state, GROUP_GONE, e))
        return -1;
    log_warn("%s", death.text);
    group_kill(g, SIGKILL);
    if (early && !d->stopping && count_failed_start(d, why, e))
        return -1;
    return return_trial(d, g, &death, e);
}

/* ---- what workers say ---- */

static void refuse(struct dispatch *d, const char *peer, const char *words)
{
    say(d, peer, &(struct message){.kind = MESSAGE_REFUSED, .refused = {.words = (char *)(uintptr_t)words}});
    log_warn("worker group %s was turned away: %s", peer, words);
}

static int note_hello(struct dispatch *d, const struct group *g, struct error *e)
{
    struct json *fields = json_object();
    json_set_text(fields, "group", g->token);
    json_set_text(fields, "host", g->hello.host);
    json_set_number(fields, "pid", g->hello.pid);
    json_set_number(fields, "ranks", g->hello.ranks);
    json_set_number(fields, "threads", g->hello.threads);
    json_set_text(fields, "device", g->hello.device);
    return dispatch_note(d, "group_started", fields, e);
}

static int on_hello(struct dispatch *d, struct group *g, const char *peer, struct message *m, struct error *e)
{
    if (!g && !d->launcher->strangers) {
        refuse(d, peer, "this run starts its worker groups itself; it does not know this one");
        return 0;
    }
    if (g && g->state != GROUP_STARTING) {
        refuse(d, peer, "a group of this name is or was already there; start the worker with another --group");
        return 0;
    }
    if (!g)
        g = roster_add(&d->roster, peer);
    g->hello = m->hello;
    m->hello = (struct message_hello){0};
    g->heard = clock_seconds();
    if (note_hello(d, g, e) || state_move(&group_states, &g->state, GROUP_IDLE, e))
        return -1;
    d->failed_starts = 0;
    log_debug("group %s: host %s, %u ranks, %s", g->token, g->hello.host, g->hello.ranks, g->hello.device);
    struct message welcome = {
        .kind = MESSAGE_WELCOME,
        .welcome = {.version = (char *)(uintptr_t)MUSTER_VERSION, .heartbeat_timeout = d->options.heartbeat_timeout}};
    dispatch_send(d, g, &welcome);
    return 0;
}

static int on_beat(struct dispatch *d, struct group *g, struct message *m, struct error *e)
{
    (void)d;
    (void)e;
    if (m->beat.lease == g->lease)
        group_note_beat(g, &m->beat);
    return 0;
}

static int note_epoch(struct dispatch *d, const char *trial, const struct message *m, const struct dispatch_verdict *v,
                      struct error *e)
{
    struct json *fields = json_object();
    json_set_text(fields, "trial", trial);
    json_set_number(fields, "epoch", m->epoch.epoch);
    json_set_number(fields, "train_loss", m->epoch.train_loss);
    json_set_boolean(fields, "best", v->best);
    json_set_boolean(fields, "stop", v->stop);
    json_set(fields, "metrics", v->metrics ? json_copy(v->metrics) : json_null());
    if (v->decision)
        json_set(fields, "decision", json_copy(v->decision));
    return dispatch_note(d, "epoch", fields, e);
}

static int on_epoch(struct dispatch *d, struct group *g, struct message *m, struct error *e)
{
    if (!lease_of(d, g) || m->epoch.lease != g->lease)
        return 0;
    if (!d->observer)
        return error_set(e, ERROR_FAILED, "worker group %s reports an epoch of a trial that only scores", g->token);
    struct dispatch_verdict v = {0};
    int result = d->observer->epoch(d->observer->context, g->trial, m->epoch.epoch, m->epoch.train_loss, &v, e);
    if (!result)
        result = note_epoch(d, d->trials[g->trial].key, m, &v, e);
    if (!result)
        dispatch_send(
            d, g, &(struct message){.kind = MESSAGE_VERDICT, .verdict = {g->lease, m->epoch.epoch, v.best, v.stop, v.metrics}});
    json_destroy(&v.metrics);
    json_destroy(&v.decision);
    return result;
}

static struct json *result_fields(const struct dispatch *d, const struct group *g, const struct message_result *r)
{
    struct json *fields = json_object();
    json_set_text(fields, "trial", d->trials[g->trial].key);
    json_set_text(fields, "group", g->token);
    json_set_number(fields, "lease", (double)g->lease);
    json_set_number(fields, "epochs_done", r->epochs_done);
    json_set_number(fields, "best_epoch", r->best_epoch);
    json_set_number(fields, "steps", (double)r->steps);
    json_set_number(fields, "tokens", (double)r->tokens);
    json_set_number(fields, "seconds", r->seconds);
    json_set_text(fields, "best_weights", r->best_weights);
    return fields;
}

static int on_result(struct dispatch *d, struct group *g, struct message *m, struct error *e)
{
    const struct message_result *r = &m->result;
    if (!lease_of(d, g) || r->lease != g->lease)
        return 0;
    if (dispatch_note(d, "trial_done", result_fields(d, g, r), e) || state_move(&group_states, &g->state, GROUP_IDLE, e))
        return -1;
    g->lease = 0;
    d->counts.steps += r->steps;
    d->counts.tokens += r->tokens;
    d->counts.seconds += r->seconds;
    struct dispatch_result result = {r->epochs_done, r->best_epoch, r->steps, r->tokens, r->seconds, r->best_weights};
    return end_trial(d, g->trial, LEASE_DONE, &result, NULL, e);
}

static int on_failed(struct dispatch *d, struct group *g, struct message *m, struct error *e)
{
    if (!lease_of(d, g) || m->failed.lease != g->lease)
        return 0;
    if (!m->failed.healthy)
        return dispatch_group_dies(d, g, m->failed.words, e);
    struct error why;
    error_set(&why, (enum error_kind)m->failed.kind, "%s", m->failed.words);
    if (state_move(&group_states, &g->state, GROUP_IDLE, e))
        return -1;
    g->lease = 0;
    return fail_trial(d, g->trial, &why, e);
}

static int on_stopped(struct dispatch *d, struct group *g, struct message *m, struct error *e)
{
    if (g->state == GROUP_STOPPED)
        return 0;
    if (m->stopped.leaving || !d->stopping)
        return dispatch_group_dies(d, g, "it was stopped by a signal of its own", e);
    struct error why = {ERROR_STOPPED, "stopped"};
    if (state_move(&group_states, &g->state, GROUP_STOPPED, e))
        return -1;
    return return_trial(d, g, &why, e);
}

static int (*const handlers[MESSAGE_KINDS])(struct dispatch *d, struct group *g, struct message *m, struct error *e) = {
    [MESSAGE_BEAT] = on_beat,     [MESSAGE_EPOCH] = on_epoch,     [MESSAGE_RESULT] = on_result,
    [MESSAGE_FAILED] = on_failed, [MESSAGE_STOPPED] = on_stopped,
};

static int handle(struct dispatch *d, const char *peer, struct message *m, struct error *e)
{
    struct group *g = roster_find(&d->roster, peer);
    if (m->kind == MESSAGE_HELLO)
        return on_hello(d, g, peer, m, e);
    if (!g || g->state == GROUP_STARTING)
        return 0;                 /* not introduced */
    if (g->state == GROUP_GONE) { /* given up, yet alive: its lease may be somebody else's by now */
        dispatch_dismiss(d, peer, dispatch_goodbye_code(d, ERROR_FAILED));
        return 0;
    }
    g->heard = clock_seconds();
    return handlers[m->kind](d, g, m, e);
}

static int take_bytes(struct dispatch *d, const char *peer, const char *bytes, size_t size, struct error *e)
{
    struct message m;
    struct error words;
    if (message_decode(&m, bytes, size, SIDE_WORKER, &words)) {
        refuse(d, peer, words.text);
        return 0;
    }
    d->counts.messages[m.kind]++;
    int result = handle(d, peer, &m, e);
    message_free(&m);
    return result;
}

/* Waits one turn for a first message, then takes all there are: only then may silence be judged. */
int dispatch_listen(struct dispatch *d, struct error *e)
{
    char peer[PEER_NAME];
    const char *bytes;
    size_t size;
    double wait = DISPATCH_TURN;
    for (int taken; (taken = listener_receive(d->listener, peer, &bytes, &size, wait, e)); wait = 0)
        if (taken < 0 || take_bytes(d, peer, bytes, size, e))
            return -1;
    return 0;
}
