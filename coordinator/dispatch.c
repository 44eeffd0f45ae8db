/* Owns the giving of leases to worker groups, and what happens to them. */
#include "coordinator/dispatch.h"

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/base/stop.h"
#include "common/base/version.h"
#include "coordinator/attach.h"
#include "coordinator/lease.h"
#include "coordinator/progress.h"
#include "coordinator/roster.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TURN 0.1           /* seconds between looks at processes and clocks */
#define HELLO_WITHIN 120.0 /* seconds that a started group has to say HELLO */
#define SAVE_WITHIN 120.0  /* seconds that groups have to save and say STOPPED */
#define END_WITHIN 10.0    /* seconds that processes have to end after GOODBYE */
#define REMIND_EVERY 30.0

struct dispatch {
    struct dispatch_options options; /* texts are owned */
    const struct launcher *launcher;
    struct listener *listener;
    struct event_log *log;
    char *connection; /* path of the connection file */
    char run_name[9]; /* makes tokens of this dispatch differ from those of others */
    struct roster roster;
    uint64_t last_lease;
    int started, failed_starts; /* groups started ever; those in a row that never said HELLO */
    double reminded;
    /* while dispatch_run is at work */
    const struct trial *trials;
    struct leases leases;
    const struct dispatch_observer *observer;
    struct progress *progress;
    bool stopping;
    double stop_since;
    struct error first_failure;
};

void dispatch_result_free(struct dispatch_result *r)
{
    free(r->best_weights);
    *r = (struct dispatch_result){0};
}

/* Log first. Consumes fields. */
static int note(struct dispatch *d, const char *event, struct json *fields, struct error *e)
{
    if (d->log)
        return event_log_append(d->log, event, fields, e);
    json_destroy(&fields);
    return 0;
}

static bool send_message(struct dispatch *d, const struct group *g, const struct message *m)
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

static void send_goodbye(struct dispatch *d, const char *peer, int exit_code)
{
    struct message m = {.kind = MESSAGE_GOODBYE, .goodbye = {.exit_code = exit_code}};
    struct error e;
    char *text;
    if (message_encode(&text, &m, &e))
        return;
    listener_send(d->listener, peer, text);
    free(text);
}

/* ---- making and ending ---- */

static void copy_options(struct dispatch_options *to, const struct dispatch_options *from)
{
    *to = *from;
    to->folder = duplicate(from->folder);
    to->worker = duplicate(from->worker);
    to->launcher = duplicate(from->launcher);
    to->device = duplicate(from->device ? from->device : "auto");
    to->hostfile = NULL;
    int ranks = to->groups * to->ranks_per_group;
    if (to->threads <= 0)
        to->threads = launcher_cores() / (ranks > 0 ? ranks : 1);
    to->threads = to->threads > 0 ? to->threads : 1;
}

static void free_options(struct dispatch_options *o)
{
    free((char *)(uintptr_t)o->folder);
    free((char *)(uintptr_t)o->worker);
    free((char *)(uintptr_t)o->launcher);
    free((char *)(uintptr_t)o->device);
}

static int check_options(const struct dispatch_options *o, struct error *e)
{
    if (o->groups < 1 || o->ranks_per_group < 1)
        return error_set(e, ERROR_USAGE, "cluster: at least one group of one rank is needed, %d of %d asked for", o->groups,
                         o->ranks_per_group);
    if (!(o->heartbeat_timeout >= 0.1))
        return error_set(e, ERROR_USAGE, "cluster.heartbeat_timeout: at least 0.1 seconds needed, %g found",
                         o->heartbeat_timeout);
    return 0;
}

static int write_connection(struct dispatch *d, struct error *e)
{
    struct connection c;
    listener_connection(d->listener, &c);
    c.version = duplicate(MUSTER_VERSION);
    c.session = attach_session();
    int result = connection_write(&c, d->connection, e);
    free(c.version);
    free(c.session);
    return result;
}

static uint64_t last_lease_of(const struct event_log *log)
{
    uint64_t last = 0;
    for (size_t i = 0; log && i < event_log_count(log); i++) {
        const struct json *number = json_get(event_log_at(log, i), "lease");
        if (number && json_number(number) > (double)last)
            last = (uint64_t)json_number(number);
    }
    return last;
}

int dispatch_create(struct dispatch **ret, const struct dispatch_options *options, struct event_log *log, struct error *e)
{
    const struct launcher *launcher = launcher_find(options->launcher, e);
    if (!launcher || check_options(options, e))
        return -1;
    struct dispatch *d = allocate(1, sizeof *d);
    copy_options(&d->options, options);
    d->launcher = launcher;
    d->log = log;
    d->last_lease = last_lease_of(log);
    d->connection = path_join(options->folder, CONNECTION_FILE);
    if (listener_create(&d->listener, e) || write_connection(d, e)) {
        dispatch_destroy(&d, 0);
        return -1;
    }
    snprintf(d->run_name, sizeof d->run_name, "%x", (unsigned)getpid());
    *ret = d;
    return 0;
}

static bool processes_left(struct dispatch *d)
{
    bool left = false;
    for (size_t i = 0; i < d->roster.count; i++) {
        group_poll(d->roster.groups[i]);
        left |= d->roster.groups[i]->process > 0;
    }
    return left;
}

static void wait_for_processes(struct dispatch *d, double seconds)
{
    for (double end = clock_seconds() + seconds; processes_left(d) && clock_seconds() < end;)
        clock_sleep(0.02);
}

/* A worker's exit code matters to whoever started it; mpirun would only complain of one that is not 0. */
static int goodbye_code(const struct dispatch *d, int exit_code)
{
    return d->launcher->start ? 0 : exit_code;
}

static void send_all_away(struct dispatch *d, int exit_code)
{
    for (size_t i = 0; i < d->roster.count; i++) {
        struct group *g = d->roster.groups[i];
        if (g->state == GROUP_STARTING)
            group_kill(g, SIGTERM);
        else
            send_goodbye(d, g->token, goodbye_code(d, exit_code));
    }
    wait_for_processes(d, END_WITHIN);
    for (size_t i = 0; i < d->roster.count; i++)
        group_kill(d->roster.groups[i], SIGKILL);
    wait_for_processes(d, END_WITHIN);
}

void dispatch_destroy(struct dispatch **dispatch, int exit_code)
{
    struct dispatch *d = dispatch ? *dispatch : NULL;
    if (!d)
        return;
    if (d->listener)
        send_all_away(d, exit_code);
    roster_free(&d->roster);
    listener_destroy(&d->listener);
    unlink(d->connection);
    free(d->connection);
    free_options(&d->options);
    free(d);
    *dispatch = NULL;
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
    return d->observer->ended ? d->observer->ended(d->observer->context, i, result, why, e) : 0;
}

static int fail_trial(struct dispatch *d, size_t i, const struct error *why, struct error *e)
{
    struct json *fields = json_object();
    json_set_text(fields, "trial", d->trials[i].key);
    json_set_number(fields, "kind", why->kind);
    json_set_text(fields, "why", why->text);
    if (note(d, "trial_failed", fields, e))
        return -1;
    log_warn("trial %s: %s", d->trials[i].key, why->text);
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

static int group_dies(struct dispatch *d, struct group *g, const char *why, struct error *e)
{
    bool early = g->state == GROUP_STARTING;
    char local[256] = "?";
    gethostname(local, sizeof local - 1);
    int rank = g->output.lost_rank >= 0 ? g->output.lost_rank : d->options.ranks_per_group == 1 ? 0 : -1;
    const char *host = g->output.lost_rank >= 0 ? g->output.lost_host : g->hello.host ? g->hello.host : local;
    struct error death;
    describe_death(&death, g, rank, host, why);
    if (note(d, "group_died", death_fields(d, g, rank, host, why), e) || state_move(&group_states, &g->state, GROUP_GONE, e))
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
    struct message m = {.kind = MESSAGE_REFUSED, .refused = {.words = (char *)(uintptr_t)words}};
    struct error e;
    char *text;
    if (message_encode(&text, &m, &e))
        return;
    listener_send(d->listener, peer, text);
    free(text);
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
    return note(d, "group_started", fields, e);
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
    send_message(d, g, &welcome);
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

static int note_epoch(struct dispatch *d, const char *trial, const struct message *m, const struct message *verdict,
                      struct error *e)
{
    struct json *fields = json_object();
    json_set_text(fields, "trial", trial);
    json_set_number(fields, "epoch", m->epoch.epoch);
    json_set_number(fields, "train_loss", m->epoch.train_loss);
    json_set_boolean(fields, "best", verdict->verdict.best);
    json_set_boolean(fields, "stop", verdict->verdict.stop);
    json_set(fields, "metrics", verdict->verdict.metrics ? json_copy(verdict->verdict.metrics) : json_null());
    return note(d, "epoch", fields, e);
}

static int on_epoch(struct dispatch *d, struct group *g, struct message *m, struct error *e)
{
    if (!lease_of(d, g) || m->epoch.lease != g->lease)
        return 0;
    struct message verdict = {.kind = MESSAGE_VERDICT, .verdict = {.lease = g->lease, .epoch = m->epoch.epoch}};
    struct message_verdict *v = &verdict.verdict;
    int result = 0;
    if (d->observer->epoch)
        result = d->observer->epoch(d->observer->context, g->trial, m->epoch.epoch, m->epoch.train_loss, m->epoch.logits,
                                    &v->best, &v->stop, &v->metrics, e);
    if (!result)
        result = note_epoch(d, d->trials[g->trial].key, m, &verdict, e);
    if (!result)
        send_message(d, g, &verdict);
    message_free(&verdict);
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
    if (note(d, "trial_done", result_fields(d, g, r), e) || state_move(&group_states, &g->state, GROUP_IDLE, e))
        return -1;
    g->lease = 0;
    struct dispatch_result result = {r->epochs_done, r->best_epoch, r->steps, r->tokens, r->seconds, r->best_weights};
    return end_trial(d, g->trial, LEASE_DONE, &result, NULL, e);
}

static int on_failed(struct dispatch *d, struct group *g, struct message *m, struct error *e)
{
    if (!lease_of(d, g) || m->failed.lease != g->lease)
        return 0;
    if (!m->failed.healthy)
        return group_dies(d, g, m->failed.words, e);
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
        return group_dies(d, g, "it was stopped by a signal of its own", e);
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
        send_goodbye(d, peer, goodbye_code(d, ERROR_FAILED));
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
    int result = handle(d, peer, &m, e);
    message_free(&m);
    return result;
}

/* Waits one turn for a first message, then takes all there are: only then may silence be judged. */
static int take_messages(struct dispatch *d, struct error *e)
{
    char peer[PEER_NAME];
    const char *bytes;
    size_t size;
    double wait = TURN;
    for (int taken; (taken = listener_receive(d->listener, peer, &bytes, &size, wait, e)); wait = 0)
        if (taken < 0 || take_bytes(d, peer, bytes, size, e))
            return -1;
    return 0;
}

/* ---- starting, giving, watching ---- */

static bool live(const struct group *g)
{
    return ROSTER_LIVE >> g->state & 1;
}

static int start_group(struct dispatch *d, struct error *e)
{
    char token[PEER_NAME];
    snprintf(token, sizeof token, "%d-%s", ++d->started, d->run_name);
    struct launch launch = {.worker = d->options.worker,
                            .connection = d->connection,
                            .device = d->options.device,
                            .group = token,
                            .ranks = d->options.ranks_per_group,
                            .threads = d->options.threads,
                            .crowded = d->options.groups * d->options.ranks_per_group * d->options.threads > launcher_cores()};
    struct launched launched;
    if (d->launcher->start(&launched, &launch, e))
        return -1;
    struct group *g = roster_add(&d->roster, token);
    g->process = launched.pid;
    output_open(&g->output, launched.output);
    log_debug("group %s: started, process %d", token, (int)launched.pid);
    return 0;
}

static void remind(struct dispatch *d)
{
    if (roster_in(&d->roster, ROSTER_LIVE) || clock_seconds() - d->reminded < REMIND_EVERY)
        return;
    d->reminded = clock_seconds();
    log_info("waiting for workers: start \"%s --connection %s\"", d->options.worker, d->connection);
}

static int start_groups(struct dispatch *d, struct error *e)
{
    size_t open = leases_in(&d->leases, LEASE_QUEUED) + leases_in(&d->leases, LEASE_GIVEN);
    size_t wanted = open < (size_t)d->options.groups ? open : (size_t)d->options.groups;
    if (!d->launcher->start) {
        remind(d);
        return 0;
    }
    if (!d->launcher->again) {
        if (!d->started)
            return start_group(d, e);
        if (!roster_in(&d->roster, ROSTER_LIVE))
            return error_set(e, ERROR_FAILED, "the workers of this MPI job have ended; run the same command again to resume");
        return 0;
    }
    while (roster_in(&d->roster, ROSTER_LIVE) < wanted)
        if (start_group(d, e))
            return -1;
    return 0;
}

static uint32_t attempts_before(const struct dispatch *d, const char *trial)
{
    const struct json *last = d->log ? event_log_last(d->log, "lease", "trial", trial) : NULL;
    double attempt = json_number(json_get(last, "attempt"));
    return attempt >= 1 && attempt < 1e6 ? (uint32_t)attempt : 0;
}

static int give_lease(struct dispatch *d, struct group *g, size_t i, struct error *e)
{
    struct lease *lease = &d->leases.items[i];
    const char *key = d->trials[i].key;
    lease->attempts = lease->attempts ? lease->attempts + 1 : attempts_before(d, key) + 1;
    lease->number = ++d->last_lease;
    struct json *fields = json_object();
    json_set_text(fields, "trial", key);
    json_set_text(fields, "group", g->token);
    json_set_number(fields, "lease", (double)lease->number);
    json_set_number(fields, "attempt", lease->attempts);
    if (note(d, "lease", fields, e) || state_move(&lease_states, &lease->state, LEASE_GIVEN, e) ||
        state_move(&group_states, &g->state, GROUP_BUSY, e))
        return -1;
    g->lease = lease->number;
    g->trial = i;
    group_note_beat(g, &(struct message_beat){.lease = g->lease});
    struct message m = {.kind = MESSAGE_LEASE,
                        .lease = {.lease = lease->number, .attempt = lease->attempts, .trial = d->trials[i]}};
    if (lease->deaths)
        m.lease.trial.resume = 1; /* what the dead group saved is ours */
    if (!send_message(d, g, &m))
        return group_dies(d, g, "its connection is gone", e);
    return 0;
}

static int give_leases(struct dispatch *d, struct error *e)
{
    size_t trial;
    for (size_t i = 0; i < d->roster.count; i++)
        if (d->roster.groups[i]->state == GROUP_IDLE && leases_next(&d->leases, &trial) &&
            give_lease(d, d->roster.groups[i], trial, e))
            return -1;
    return 0;
}

static int watch_group(struct dispatch *d, struct group *g, struct error *e)
{
    char why[160];
    bool ended = group_poll(g);
    if (!live(g))
        return 0;
    double silence = clock_seconds() - g->heard;
    if (ended || (g->state != GROUP_STARTING && group_vanished(g)))
        return group_dies(d, g, ended ? g->ending : "its process is gone", e);
    if (g->state == GROUP_STARTING && silence > HELLO_WITHIN) {
        snprintf(why, sizeof why, "it has not come up within %.0f s", HELLO_WITHIN);
        return group_dies(d, g, why, e);
    }
    if (g->state != GROUP_STARTING && silence > d->options.heartbeat_timeout) {
        snprintf(why, sizeof why, "not heard of for %.1f s (cluster.heartbeat_timeout is %g s)", silence,
                 d->options.heartbeat_timeout);
        return group_dies(d, g, why, e);
    }
    return 0;
}

static int watch_groups(struct dispatch *d, struct error *e)
{
    for (size_t i = 0; i < d->roster.count; i++)
        if (watch_group(d, d->roster.groups[i], e))
            return -1;
    return 0;
}

static void show_progress(struct dispatch *d)
{
    struct progress_row *rows = allocate(d->roster.count, sizeof *rows);
    size_t count = 0;
    for (size_t i = 0; i < d->roster.count; i++) {
        const struct group *g = d->roster.groups[i];
        if (g->state == GROUP_BUSY)
            rows[count++] = (struct progress_row){d->trials[g->trial].key, g->token, &g->beat, g->lease};
    }
    progress_show(d->progress, rows, count);
    free(rows);
}

/* ---- stopping ---- */

static void ask_to_stop(struct dispatch *d)
{
    d->stopping = true;
    d->stop_since = clock_seconds();
    log_info("stopping: %zu worker groups save", roster_in(&d->roster, 1u << GROUP_BUSY));
    struct message stop = {.kind = MESSAGE_STOP};
    for (size_t i = 0; i < d->roster.count; i++) {
        struct group *g = d->roster.groups[i];
        if (g->state == GROUP_STARTING)
            group_kill(g, SIGTERM);
        else if (live(g))
            send_message(d, g, &stop);
    }
}

static bool all_stopped(struct dispatch *d)
{
    return !roster_in(&d->roster, 1u << GROUP_BUSY | 1u << GROUP_IDLE);
}

static int stop_turn(struct dispatch *d, struct error *e)
{
    if (clock_seconds() - d->stop_since <= SAVE_WITHIN)
        return 0;
    for (size_t i = 0; i < d->roster.count; i++) {
        struct group *g = d->roster.groups[i];
        if ((g->state == GROUP_BUSY || g->state == GROUP_IDLE) && group_dies(d, g, "it did not save and stop in time", e))
            return -1;
    }
    return 0;
}

/* ---- the run ---- */

static int turn(struct dispatch *d, struct error *e)
{
    if (!d->stopping && stop_requested())
        ask_to_stop(d);
    if (d->stopping ? stop_turn(d, e) : start_groups(d, e) || give_leases(d, e))
        return -1;
    if (take_messages(d, e) || watch_groups(d, e))
        return -1;
    show_progress(d);
    return 0;
}

static bool finished(struct dispatch *d)
{
    if (d->stopping)
        return all_stopped(d);
    return !leases_in(&d->leases, LEASE_QUEUED) && !leases_in(&d->leases, LEASE_GIVEN);
}

/* Groups that still work for a run that failed: their leases end here, whatever they say later is not heard. */
static void abandon(struct dispatch *d, const struct error *e)
{
    for (size_t i = 0; i < d->roster.count; i++) {
        struct group *g = d->roster.groups[i];
        if (g->state != GROUP_BUSY)
            continue;
        send_goodbye(d, g->token, goodbye_code(d, e->kind));
        g->state = GROUP_GONE;
        g->lease = 0;
    }
}

static int follow(struct dispatch *d, struct error *e)
{
    while (!finished(d)) {
        struct error words = {0};
        if (!turn(d, &words))
            continue;
        if (words.kind == ERROR_STOPPED && !d->stopping) { /* an observer saw the signal first */
            ask_to_stop(d);
            continue;
        }
        abandon(d, &words);
        if (e)
            *e = words;
        return -1;
    }
    if (d->stopping)
        return error_set(e, ERROR_STOPPED, "stopped on request; the same command resumes");
    if (d->leases.count && leases_in(&d->leases, LEASE_FAILED) == d->leases.count) {
        if (e)
            *e = d->first_failure;
        return -1;
    }
    return 0;
}

int dispatch_run(struct dispatch *d, const struct trial *trials, size_t count, const struct dispatch_observer *o, struct error *e)
{
    d->trials = trials;
    d->observer = o;
    d->stopping = false;
    d->failed_starts = 0;
    d->first_failure = (struct error){0};
    leases_create(&d->leases, count);
    progress_create(&d->progress);
    for (size_t i = 0; i < d->roster.count; i++)
        d->roster.groups[i]->heard = clock_seconds(); /* nobody listened since the last run */
    int result = follow(d, e);
    progress_destroy(&d->progress);
    leases_free(&d->leases);
    d->trials = NULL;
    d->observer = NULL;
    return result;
}
