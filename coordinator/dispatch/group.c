/* SPDX-License-Identifier: Apache-2.0 */
/* Sends to a worker group, stops it, fails it, and requeues its trial. */
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

int dispatch_log_event(struct dispatch *d, const char *event, struct json *fields, struct error *e)
{
    if (d->log)
        return event_log_append(d->log, event, fields, e);
    json_destroy(&fields);
    return 0;
}

bool dispatch_send_encoded(struct dispatch *d, const char *peer, enum message_kind kind, const char *text)
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
        log_warn("worker group %s: %s", peer, e.message);
        return false;
    }
    bool sent = dispatch_send_encoded(d, peer, m->kind, text);
    free(text);
    return sent;
}

void dispatch_send_goodbye(struct dispatch *d, const char *peer, int exit_code)
{
    dispatch_send(d, peer, &(struct message){.kind = MESSAGE_GOODBYE, .goodbye = {.exit_code = exit_code}});
}

/* A worker's exit code matters to whoever started it; mpirun would only report one that is not 0 as a failure. */
int dispatch_goodbye_code(const struct dispatch *d, int exit_code)
{
    return d->launcher->start ? 0 : exit_code;
}

/* ---- trials and their ends ---- */

struct lease *dispatch_lease_of(struct dispatch *d, const struct group *g)
{
    return g->lease && d->trials && g->trial < d->leases.count && d->leases.items[g->trial].number == g->lease
               ? &d->leases.items[g->trial]
               : NULL;
}

int dispatch_end_trial(struct dispatch *d, size_t i, enum lease_state state, const struct dispatch_result *result,
                       const struct error *why, struct error *e)
{
    if (leases_move(&d->leases, i, state, e))
        return -1;
    return d->observer ? d->observer->ended(d->observer->context, i, result, why, e) : 0;
}

int dispatch_fail_trial(struct dispatch *d, size_t i, const struct error *why, struct error *e)
{
    struct json *fields = json_object();
    json_set_string(fields, "trial", d->trials[i].key);
    json_set_number(fields, "kind", why->kind);
    json_set_string(fields, "why", why->message);
    if (dispatch_log_event(d, "trial_failed", fields, e))
        return -1;
    if (!d->first_failure.kind)
        d->first_failure = *why;
    return dispatch_end_trial(d, i, LEASE_FAILED, NULL, why, e);
}

/* The trial of a group that is no more: back to the queue, or given up. */
int dispatch_requeue_trial(struct dispatch *d, struct group *g, const struct error *why, struct error *e)
{
    struct lease *lease = dispatch_lease_of(d, g);
    size_t i = g->trial;
    g->lease = 0;
    if (!lease)
        return 0;
    if (!d->stopping && lease->deaths++ >= d->options.restarts) {
        struct error reason;
        error_set(&reason, ERROR_FAILED, "given up after its worker group died %d time%s; the last time: %.800s", lease->deaths,
                  lease->deaths == 1 ? "" : "s", why->message);
        return dispatch_fail_trial(d, i, &reason, e);
    }
    if (!d->stopping)
        log_info("trial %s: restarting from its last checkpoint on another group (attempt %d of %d)", d->trials[i].key,
                 lease->deaths + 1, d->options.restarts + 1);
    return leases_move(&d->leases, i, LEASE_QUEUED, e);
}

/* Where a group died, as far as it is known. */
struct failure_site {
    int rank;                             /* -1: which of them is not known */
    const char *host, *operation, *trial; /* the last two NULL: at nothing */
    uint64_t step;                        /* 0: none */
};

static struct failure_site find_failure_site(const struct dispatch *d, const struct group *g, int rank, const char *local)
{
    bool noted = g->output.lost_rank >= 0; /* by mpirun, which knows better */
    if (noted)
        rank = g->output.lost_rank;
    else if (rank < 0 && d->options.ranks_per_group == 1)
        rank = 0;
    struct failure_site site = {.rank = rank, .host = g->hello.host ? g->hello.host : local};
    const struct rank_state *r = rank >= 0 && g->ranks && (uint32_t)rank < g->hello.ranks ? &g->ranks[rank] : NULL;
    if (g->output.lost_host[0] || (r && r->host[0]))
        site.host = g->output.lost_host[0] ? g->output.lost_host : r->host;
    if (!g->lease)
        return site;
    site.trial = d->trials ? d->trials[g->trial].key : NULL;
    /* Ranks are in step: one that fell silent earlier than the others stands where they wait for it. */
    const struct rank_state *ahead = r;
    for (uint32_t i = 0; g->ranks && i < g->hello.ranks; i++)
        if (!ahead || g->ranks[i].step > ahead->step || (g->ranks[i].step == ahead->step && !ahead->operation[0]))
            ahead = &g->ranks[i];
    site.step = ahead ? ahead->step : 0;
    site.operation = ahead && ahead->operation[0] ? ahead->operation : NULL;
    return site;
}

/* "group 1: host n7, rank 2, step 31, all_reduce: why" */
static void describe_death(struct error *ret, const struct group *g, const struct failure_site *at, const char *why)
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

static struct json *death_fields(const struct group *g, const struct failure_site *at, const char *why)
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
    return error_set(e, ERROR_FAILED, "no worker group could be started in %d attempts: %.800s; see its output above",
                     d->failed_starts, why);
}

int dispatch_fail_group(struct dispatch *d, struct group *g, int rank, const char *why, struct error *e)
{
    bool early = g->state == GROUP_STARTING;
    char local[MACHINE_NAME];
    machine_name(local, sizeof local);
    struct failure_site at = find_failure_site(d, g, rank, local);
    if (g->output.lost_host[0] && g->output.lost_rank < 0)
        why = "lost the connection to this host";
    struct error death;
    d->counts.deaths++;
    describe_death(&death, g, &at, why);
    if (dispatch_log_event(d, "group_died", death_fields(g, &at, why), e) || state_move(&group_states, &g->state, GROUP_GONE, e))
        return -1;
    log_warn("%s", death.message);
    group_kill(g, SIGKILL);
    hosts_release(d->hosts, &g->slots, true);
    if (early && !d->stopping && count_failed_start(d, why, e))
        return -1;
    return dispatch_requeue_trial(d, g, &death, e);
}

/* ---- leases and stops ---- */

bool dispatch_send_lease(struct dispatch *d, const struct group *g)
{
    const struct lease *lease = &d->leases.items[g->trial];
    struct message m = {.kind = MESSAGE_LEASE,
                        .lease = {.lease = g->lease, .attempt = lease->attempts, .trial = d->trials[g->trial]}};
    if (lease->deaths)
        m.lease.trial.resume = 1; /* from the checkpoint of the group that died */
    return dispatch_send(d, g->token, &m);
}

void dispatch_send_stop(struct dispatch *d)
{
    d->stop_sent = clock_seconds();
    for (size_t i = 0; i < d->roster.count; i++) {
        struct group *g = d->roster.groups[i];
        if (g->state == GROUP_STARTING)
            group_kill(g, SIGTERM);
        else if (ROSTER_LIVE >> g->state & 1)
            dispatch_send(d, g->token, &(struct message){.kind = MESSAGE_STOP});
    }
}

void dispatch_begin_stop(struct dispatch *d)
{
    d->stopping = true;
    d->stop_since = clock_seconds();
    size_t busy = roster_in(&d->roster, 1u << GROUP_BUSY);
    log_info("stopping: %zu busy worker group%s a checkpoint first", busy, busy == 1 ? " saves" : "s save");
    dispatch_send_stop(d);
}
