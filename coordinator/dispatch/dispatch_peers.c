/* Owns what dispatch hears from workers and what follows for their trials. */
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

int dispatch_note(struct dispatch *d, const char *event, struct json *fields, struct error *e)
{
    if (d->log)
        return event_log_append(d->log, event, fields, e);
    json_destroy(&fields);
    return 0;
}

static bool send_text(struct dispatch *d, const char *peer, enum message_kind kind, const char *text)
{
    bool sent = true;
    for (unsigned copies = fault_copies(message_name(kind)); copies && sent; copies--)
        sent = listener_send(d->listener, peer, text);
    return sent;
}

bool dispatch_send(struct dispatch *d, const char *peer, const struct message *m)
{
    char *text;
    struct error e;
    if (message_encode(&text, m, &e)) {
        log_warn("group %s: %s", peer, e.message);
        return false;
    }
    bool sent = send_text(d, peer, m->kind, text);
    free(text);
    return sent;
}

void dispatch_dismiss(struct dispatch *d, const char *peer, int exit_code)
{
    dispatch_send(d, peer, &(struct message){.kind = MESSAGE_GOODBYE, .goodbye = {.exit_code = exit_code}});
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
    json_set_string(fields, "trial", d->trials[i].key);
    json_set_number(fields, "kind", why->kind);
    json_set_string(fields, "why", why->message);
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
                  lease->deaths == 1 ? "" : "s", why->message);
        return fail_trial(d, i, &words, e);
    }
    if (!d->stopping)
        log_info("trial %s: another group takes it up from its last checkpoint (try %d of %d)", d->trials[i].key,
                 lease->deaths + 1, d->options.restarts + 1);
    return state_move(&lease_states, &lease->state, LEASE_QUEUED, e);
}

/* Where a group died, as far as it is known. */
struct grave {
    int rank;                             /* -1: which of them is not known */
    const char *host, *operation, *trial; /* the last two NULL: at nothing */
    uint64_t step;                        /* 0: none */
};

static struct grave find_grave(const struct dispatch *d, const struct group *g, int rank, const char *local)
{
    bool noted = g->output.lost_rank >= 0; /* by mpirun, which knows better */
    if (noted)
        rank = g->output.lost_rank;
    else if (rank < 0 && d->options.ranks_per_group == 1)
        rank = 0;
    struct grave grave = {.rank = rank, .host = g->hello.host ? g->hello.host : local};
    const struct rank_state *r = rank >= 0 && g->ranks && (uint32_t)rank < g->hello.ranks ? &g->ranks[rank] : NULL;
    if (g->output.lost_host[0] || (r && r->host[0]))
        grave.host = g->output.lost_host[0] ? g->output.lost_host : r->host;
    if (!g->lease)
        return grave;
    grave.trial = d->trials ? d->trials[g->trial].key : NULL;
    /* Ranks are in step: one that fell silent earlier than the others stands where they wait for it. */
    const struct rank_state *ahead = r;
    for (uint32_t i = 0; g->ranks && i < g->hello.ranks; i++)
        if (!ahead || g->ranks[i].step > ahead->step || (g->ranks[i].step == ahead->step && !ahead->operation[0]))
            ahead = &g->ranks[i];
    grave.step = ahead ? ahead->step : 0;
    grave.operation = ahead && ahead->operation[0] ? ahead->operation : NULL;
    return grave;
}

/* "group 1: host n7, rank 2, step 31, all_reduce: why" */
static void describe_death(struct error *ret, const struct group *g, const struct grave *at, const char *why)
{
    char place[128] = "";
    if (at->rank >= 0)
        snprintf(place, sizeof place, ", rank %d", at->rank);
    if (at->step)
        snprintf(place + strlen(place), sizeof place - strlen(place), ", step %" PRIu64, at->step);
    if (at->operation)
        snprintf(place + strlen(place), sizeof place - strlen(place), ", %.40s", at->operation);
    error_set(ret, ERROR_FAILED, "worker group %s: host %s%s: %.700s", g->token, at->host, place, why);
}

static struct json *death_fields(const struct group *g, const struct grave *at, const char *why)
{
    struct json *fields = json_object();
    json_set_string(fields, "group", g->token);
    json_set_string(fields, "host", at->host);
    json_set(fields, "rank", at->rank >= 0 ? json_of_number(at->rank) : json_null());
    json_set(fields, "step", at->step ? json_of_number((double)at->step) : json_null());
    json_set_string(fields, "operation", at->operation);
    json_set_string(fields, "trial", at->trial);
    json_set_string(fields, "why", why);
    return fields;
}

static int count_failed_start(struct dispatch *d, const char *why, struct error *e)
{
    if (d->failed_starts++ < d->options.restarts)
        return 0;
    return error_set(e, ERROR_FAILED, "no worker group came up in %d tries: %.800s; its own words are above", d->failed_starts,
                     why);
}

int dispatch_group_dies(struct dispatch *d, struct group *g, int rank, const char *why, struct error *e)
{
    bool early = g->state == GROUP_STARTING;
    char local[MACHINE_NAME];
    machine_name(local, sizeof local);
    struct grave at = find_grave(d, g, rank, local);
    if (g->output.lost_host[0] && g->output.lost_rank < 0)
        why = "the connection to this host was lost";
    struct error death;
    d->counts.deaths++;
    describe_death(&death, g, &at, why);
    if (dispatch_note(d, "group_died", death_fields(g, &at, why), e) || state_move(&group_states, &g->state, GROUP_GONE, e))
        return -1;
    log_warn("%s", death.message);
    group_kill(g, SIGKILL);
    hosts_give(d->hosts, &g->seats, true);
    if (early && !d->stopping && count_failed_start(d, why, e))
        return -1;
    return return_trial(d, g, &death, e);
}

/* ---- what workers say ---- */

static void refuse(struct dispatch *d, const char *peer, const char *words)
{
    dispatch_send(d, peer, &(struct message){.kind = MESSAGE_REFUSED, .refused = {.words = (char *)(uintptr_t)words}});
    log_warn("worker group %s was turned away: %s", peer, words);
}

static int note_hello(struct dispatch *d, const struct group *g, struct error *e)
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
    return dispatch_note(d, "group_started", fields, e);
}

/* In words, why the group cannot be one of this run; NULL: it can. */
static const char *objection(const struct dispatch *d, const struct group *g, const struct message_hello *hello, char words[1024])
{
    if (!g && !d->launcher->strangers)
        return "this run starts its worker groups itself; it does not know this one";
    if (g && g->state != GROUP_STARTING)
        return "a group of this name is or was already there; start the worker with another --group";
    if (hello->problem)
        return hello->problem;
    if (!hello->build || !d->build[0] || !strcmp(hello->build, d->build))
        return NULL;
    snprintf(words, 1024,
             "host %.255s runs another muster-worker (%.12s) than belongs to this muster (%.12s); install the same one",
             hello->host, hello->build, d->build);
    return words;
}

/* A group of ours that cannot work: before any could, none will, and the run ends with its words. */
static int give_up_group(struct dispatch *d, struct group *g, const char *words, struct error *e)
{
    if (d->welcomed)
        return dispatch_group_dies(d, g, -1, words, e);
    return error_set(e, ERROR_FAILED, "worker group %s: %.900s", g->token, words);
}

static void show_places(const struct group *g)
{
    for (const char *line = g->hello.places; line && *line;) {
        int size = (int)strcspn(line, "\n");
        log_info("group %s, %.*s, %u thread%s, %s", g->token, size, line, g->hello.threads, g->hello.threads == 1 ? "" : "s",
                 g->hello.device);
        line += size + (line[size] == '\n');
    }
}

static void welcome(struct dispatch *d, const char *peer)
{
    dispatch_send(d, peer,
                  &(struct message){.kind = MESSAGE_WELCOME,
                                    .welcome = {.version = (char *)(uintptr_t)MUSTER_VERSION,
                                                .heartbeat_timeout = d->options.heartbeat_timeout,
                                                .time = clock_wall()}});
}

static bool known_as(const struct group *g, const struct message_hello *hello)
{
    return g->hello.host && !strcmp(g->hello.host, hello->host) && g->hello.pid == hello->pid;
}

static int on_hello(struct dispatch *d, struct group *g, const char *peer, struct message *m, struct error *e)
{
    if (g && g->ranks && g->state != GROUP_GONE && known_as(g, &m->hello)) { /* it asks again: its welcome was lost */
        welcome(d, peer);
        return 0;
    }
    char buffer[1024];
    const char *words = objection(d, g, &m->hello, buffer);
    if (words) {
        refuse(d, peer, words);
        return g && g->state == GROUP_STARTING && !d->launcher->strangers ? give_up_group(d, g, words, e) : 0;
    }
    if (!g)
        g = roster_add(&d->roster, peer);
    g->hello = m->hello;
    m->hello = (struct message_hello){0};
    group_introduce(g, 0, g->hello.host);
    if (note_hello(d, g, e) || state_move(&group_states, &g->state, GROUP_IDLE, e))
        return -1;
    d->failed_starts = 0;
    d->welcomed = true;
    show_places(g);
    welcome(d, peer);
    return 0;
}

/* It has a lease and says it has none: the lease was lost on its way there, or what became of it on the way back. The worker
 * knows which, by the lease's number, and says the latter again. */
static int repeat_lease(struct dispatch *d, struct group *g, const struct message_beat *b)
{
    double now = clock_seconds();
    bool lost = g->state == GROUP_BUSY && b->lease != g->lease;
    if (!lost || !g->idle_since)
        g->idle_since = lost ? now : 0;
    if (!lost || now - g->idle_since < DISPATCH_REPEAT)
        return 0;
    g->idle_since = now;
    log_debug("group %s: its lease is sent again", g->token);
    return dispatch_send_lease(d, g);
}

static int on_beat(struct dispatch *d, struct group *g, struct message *m, struct error *e)
{
    (void)e;
    if (m->beat.lease == g->lease)
        group_note_beat(g, &m->beat);
    repeat_lease(d, g, &m->beat);
    return 0;
}

static int note_epoch(struct dispatch *d, const char *trial, const struct message *m, const struct dispatch_verdict *v,
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
    return dispatch_note(d, "epoch", fields, e);
}

static int keep_verdict(struct group *g, const struct message *verdict, struct error *e)
{
    char *text;
    if (message_encode(&text, verdict, e))
        return -1;
    free(g->verdict);
    g->verdict = text;
    g->judged = verdict->verdict.epoch;
    return 0;
}

static int on_epoch(struct dispatch *d, struct group *g, struct message *m, struct error *e)
{
    if (!lease_of(d, g) || m->epoch.lease != g->lease)
        return 0;
    if (!d->observer)
        return error_set(e, ERROR_FAILED, "worker group %s reports an epoch of a trial that only scores", g->token);
    if (g->judged == m->epoch.epoch) { /* it asks again: the verdict was lost */
        send_text(d, g->token, MESSAGE_VERDICT, g->verdict);
        return 0;
    }
    struct dispatch_verdict v = {0};
    int result = d->observer->epoch(d->observer->context, g->trial, m->epoch.epoch, m->epoch.train_loss, &v, e);
    if (!result)
        result = note_epoch(d, d->trials[g->trial].key, m, &v, e);
    const struct message verdict = {.kind = MESSAGE_VERDICT, .verdict = {g->lease, m->epoch.epoch, v.best, v.stop, v.metrics}};
    if (!result && !(result = keep_verdict(g, &verdict, e)))
        send_text(d, g->token, MESSAGE_VERDICT, g->verdict);
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
        return dispatch_group_dies(d, g, -1, m->failed.words, e);
    struct error why;
    error_set(&why, (enum error_kind)m->failed.kind, "%s", m->failed.words);
    if (state_move(&group_states, &g->state, GROUP_IDLE, e))
        return -1;
    g->lease = 0;
    return fail_trial(d, g->trial, &why, e);
}

/* A group that we started was asked to stop while it was at work, by a scheduler or by hand, and all its ranks have saved: that
 * is meant for the run. (What mpirun does to the ranks beside one that died looks like it, but those cannot save together.) */
static void stop_with(struct dispatch *d, const struct group *g, const struct message_stopped *m)
{
    if (d->stopping || !d->launcher->start || !m->lease)
        return;
    log_info("worker group %s (host %s) was asked to stop by a signal: the run stops", g->token, g->hello.host);
    stop_request();
    dispatch_ask_to_stop(d);
}

static int on_stopped(struct dispatch *d, struct group *g, struct message *m, struct error *e)
{
    if (g->state == GROUP_STOPPED)
        return 0;
    stop_with(d, g, &m->stopped);
    bool leaves = !d->stopping || (m->stopped.leaving && !d->launcher->start);
    if (leaves)
        dispatch_dismiss(d, g->token, dispatch_goodbye_code(d, ERROR_STOPPED));
    if (leaves)
        return dispatch_group_dies(d, g, 0, "it was stopped by a signal of its own", e);
    struct error why = {ERROR_STOPPED, "stopped"};
    if (state_move(&group_states, &g->state, GROUP_STOPPED, e))
        return -1;
    return return_trial(d, g, &why, e);
}

static int (*const handlers[MESSAGE_KINDS])(struct dispatch *d, struct group *g, struct message *m, struct error *e) = {
    [MESSAGE_BEAT] = on_beat,     [MESSAGE_EPOCH] = on_epoch,     [MESSAGE_RESULT] = on_result,
    [MESSAGE_FAILED] = on_failed, [MESSAGE_STOPPED] = on_stopped,
};

/* A rank beside rank 0 only introduces itself and beats. */
static void handle_rank(struct dispatch *d, struct group *g, uint32_t rank, const char *peer, const struct message *m)
{
    if (!g || !g->ranks || g->state == GROUP_GONE || rank >= g->hello.ranks) {
        refuse(d, peer, "this run has no such worker group, or not that many ranks in it");
        return;
    }
    if (m->kind == MESSAGE_HELLO) {
        group_introduce(g, rank, m->hello.host);
        welcome(d, peer);
    } else if (g->ranks[rank].heard > 0) {
        group_hear(g, rank, m->kind == MESSAGE_BEAT ? &m->beat : NULL);
    }
}

static int handle(struct dispatch *d, const char *peer, struct message *m, struct error *e)
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
        return 0;                 /* not introduced */
    if (g->state == GROUP_GONE) { /* given up, yet alive: its lease may be somebody else's by now */
        dispatch_dismiss(d, peer, dispatch_goodbye_code(d, ERROR_FAILED));
        return 0;
    }
    group_hear(g, 0, m->kind == MESSAGE_BEAT ? &m->beat : NULL);
    return handlers[m->kind](d, g, m, e);
}

static int take_bytes(struct dispatch *d, const char *peer, const char *bytes, size_t size, struct error *e)
{
    struct message m;
    struct error words;
    if (message_decode(&m, bytes, size, SIDE_WORKER, &words)) {
        refuse(d, peer, words.message);
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
