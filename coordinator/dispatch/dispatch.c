/* SPDX-License-Identifier: Apache-2.0 */
/* The loop of a dispatch: starts worker groups, gives them leases, watches them, and stops them. */
#include "coordinator/dispatch/dispatch.h"

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/machine.h"
#include "common/base/memory.h"
#include "common/base/stop.h"
#include "common/base/version.h"
#include "coordinator/dispatch/dispatch_state.h"
#include "coordinator/dispatch/mpi_attach.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define HELLO_TIMEOUT 120.0 /* seconds that a started group has to send HELLO */
#define SAVE_TIMEOUT 120.0  /* seconds that groups have to save and send STOPPED */
#define EXIT_TIMEOUT 10.0   /* seconds that processes have to end after GOODBYE */
#define OTHER_FILES 256     /* what a coordinator has open beside its connections, and some more */
#define REMIND_INTERVAL 30.0

/* ---- making and ending ---- */

static void copy_options(struct dispatch_options *to, const struct dispatch_options *from)
{
    *to = *from;
    to->directory = duplicate(from->directory);
    to->worker = duplicate(from->worker);
    to->hostfile = NULL;
    to->interface = from->interface && interface_is_portable(from->interface) ? duplicate(from->interface) : NULL;
}

static void free_options(struct dispatch_options *o)
{
    free((char *)(uintptr_t)o->directory);
    free((char *)(uintptr_t)o->worker);
    free((char *)(uintptr_t)o->interface);
}

/* Every rank may have a connection, which is an open file. */
static int allow_files(const struct dispatch_options *o, struct error *e)
{
    struct rlimit files;
    rlim_t needed = (rlim_t)o->groups * (rlim_t)o->ranks_per_group + OTHER_FILES;
    if (o->groups < 1 || o->ranks_per_group < 1) /* refused elsewhere */
        return 0;
    if (getrlimit(RLIMIT_NOFILE, &files) || files.rlim_cur >= needed)
        return 0;
    if (files.rlim_max < needed)
        return error_set(
            e, ERROR_USAGE,
            "cluster: %d groups of %d ranks need %llu open files, the limit is %llu; raise it (ulimit -Hn) or use fewer "
            "groups",
            o->groups, o->ranks_per_group, (unsigned long long)needed, (unsigned long long)files.rlim_max);
    files.rlim_cur = needed;
    return setrlimit(RLIMIT_NOFILE, &files) ? error_errno(e, errno, "cannot raise the limit of open files") : 0;
}

static int write_connection(struct dispatch *d, struct error *e)
{
    struct connection c;
    listener_connection(d->listener, &c);
    c.protocol = PROTOCOL_VERSION;
    c.version = duplicate(MUSTER_VERSION);
    c.session = attach_session();
    int result = connection_write(&c, d->connection, e);
    free(c.version);
    free(c.session);
    return result;
}

static int open_metrics(struct dispatch *d, struct error *e)
{
    int port;
    if (dispatch_metrics_open(d, &port, e))
        return -1;
    if (!port)
        return 0;
    struct json *fields = json_object();
    json_set_number(fields, "port", port);
    return dispatch_log_event(d, "metrics_served", fields, e);
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
    char address[INTERFACE_ADDRESS];
    struct hosts *hosts;
    if (allow_files(options, e) || dispatch_find_hosts(&hosts, address, options, e))
        return -1;
    struct dispatch *d = allocate(1, sizeof *d);
    copy_options(&d->options, options);
    d->options.threads = dispatch_threads(options, hosts);
    d->launcher = launcher_get(options->launcher);
    d->hosts = hosts;
    d->log = log;
    d->last_lease = last_lease_of(log);
    d->connection = path_join(options->directory, CONNECTION_FILE);
    if (listener_create(&d->listener, address, e) || open_metrics(d, e) || write_connection(d, e)) {
        dispatch_destroy(&d, 0);
        return -1;
    }
    struct error ignored;
    if (sha256_file(options->worker, d->build, &ignored))
        d->build[0] = 0;
    snprintf(d->run_name, sizeof d->run_name, "%x", (unsigned)getpid());
    *ret = d;
    return 0;
}

int dispatch_follow(struct dispatch *d, struct event_log *log, struct error *e)
{
    uint64_t last = last_lease_of(log);
    if (log == d->log)
        return 0;
    d->log = log;
    d->last_lease = last > d->last_lease ? last : d->last_lease;
    for (size_t i = 0; log && i < d->roster.count; i++)
        if (d->roster.groups[i]->state == GROUP_IDLE && dispatch_log_group(d, d->roster.groups[i], e) != 0)
            return -1;
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

static void end_groups(struct dispatch *d, int exit_code)
{
    double end = clock_seconds() + EXIT_TIMEOUT;
    do { /* again: a message may be lost */
        for (size_t i = 0; i < d->roster.count; i++) {
            struct group *g = d->roster.groups[i];
            if (g->state == GROUP_STARTING)
                group_kill(g, SIGTERM);
            else
                dispatch_send_goodbye(d, g->token, dispatch_goodbye_code(d, exit_code));
        }
        wait_for_processes(d, EXIT_TIMEOUT / 4);
    } while (processes_left(d) && clock_seconds() < end);
    for (size_t i = 0; i < d->roster.count; i++)
        group_kill(d->roster.groups[i], SIGKILL);
    wait_for_processes(d, EXIT_TIMEOUT);
}

void dispatch_destroy(struct dispatch **dispatch, int exit_code)
{
    struct dispatch *d = dispatch ? *dispatch : NULL;
    if (!d)
        return;
    if (d->listener)
        end_groups(d, exit_code);
    for (size_t i = 0; i < d->roster.count; i++)
        hosts_release(d->hosts, &d->roster.groups[i]->slots, false);
    hosts_destroy(&d->hosts);
    roster_free(&d->roster);
    listener_destroy(&d->listener);
    metrics_server_destroy(&d->metrics);
    unlink(d->connection);
    free(d->connection);
    free_options(&d->options);
    free(d);
    *dispatch = NULL;
}

/* ---- starting, giving, watching ---- */

static bool live(const struct group *g)
{
    return ROSTER_LIVE >> g->state & 1;
}

static bool oversubscribed(const struct dispatch *d)
{
    int ranks = d->hosts                   ? hosts_max_slots(d->hosts)
                : d->options.ranks_on_host ? d->options.ranks_on_host
                                           : d->options.groups * d->options.ranks_per_group;
    return ranks * d->options.threads > machine_cores();
}

static bool is_taken(const struct dispatch *d, int place)
{
    for (size_t i = 0; i < d->roster.count; i++)
        if (live(d->roster.groups[i]) && d->roster.groups[i]->place == place)
            return true;
    return false;
}

/* The lowest place that no live group has: it takes the GPUs that belong to it. */
static int free_place(const struct dispatch *d)
{
    int place = 0;
    while (is_taken(d, place))
        place++;
    return place;
}

/* One that cannot be started gives its slots back. */
static int start_group(struct dispatch *d, struct slots slots, struct error *e)
{
    char token[PEER_NAME];
    bool shares = d->options.launcher == LAUNCHER_LOCAL && d->options.device <= DEVICE_CUDA;
    int place = free_place(d);
    snprintf(token, sizeof token, "%d-%s", ++d->started, d->run_name);
    struct launch launch = {.worker = d->options.worker,
                            .connection = d->connection,
                            .device = device_names[d->options.device],
                            .fast = d->options.fast,
                            .group = token,
                            .ranks = d->options.ranks_per_group,
                            .threads = d->options.threads,
                            .first_gpu = shares ? place * d->options.ranks_per_group : 0,
                            .gpus = d->options.device == DEVICE_CUDA,
                            .oversubscribed = oversubscribed(d),
                            .spec = slots.spec,
                            .local = !d->launcher->remote && !d->options.ranks_on_host,
                            .interface = d->options.interface,
                            .heartbeat_timeout = d->options.heartbeat_timeout};
    struct process launched;
    if (d->launcher->start(&launched, &launch, e)) {
        hosts_release(d->hosts, &slots, false);
        return -1;
    }
    struct group *g = roster_add(&d->roster, token);
    g->slots = slots;
    g->place = place;
    g->process = launched.pid;
    output_open(&g->output, launched.output);
    log_debug("group %s: started, process %d", token, (int)launched.pid);
    return 0;
}

static void log_reminder(struct dispatch *d)
{
    if (roster_in(&d->roster, ROSTER_LIVE) || clock_seconds() - d->reminded < REMIND_INTERVAL)
        return;
    d->reminded = clock_seconds();
    log_info("waiting for workers: start them with \"%s --connection %s\"", d->options.worker, d->connection);
}

static int start_groups(struct dispatch *d, struct error *e)
{
    size_t open = leases_in(&d->leases, LEASE_QUEUED) + leases_in(&d->leases, LEASE_GIVEN);
    size_t wanted = open < (size_t)d->options.groups ? open : (size_t)d->options.groups;
    if (!d->launcher->start) {
        log_reminder(d);
        return 0;
    }
    if (!d->launcher->restartable) {
        if (!d->started)
            return start_group(d, (struct slots){0}, e);
        if (!roster_in(&d->roster, ROSTER_LIVE))
            return error_set(e, ERROR_FAILED, "the workers of this MPI job have exited; run the same command again to resume");
        return 0;
    }
    while (roster_in(&d->roster, ROSTER_LIVE) < wanted) {
        struct slots slots;
        bool found;
        if (dispatch_take_slots(d, &found, &slots, e) || (found && start_group(d, slots, e)))
            return -1;
        if (!found)
            break;
    }
    return 0;
}

static uint32_t attempts_before(const struct dispatch *d, const char *trial)
{
    const struct json *last = d->log ? event_log_last(d->log, "lease", "trial", trial) : NULL;
    double attempt = json_number(json_get(last, "attempt"));
    return attempt >= 1 && attempt < 1e6 ? (uint32_t)attempt : 0;
}

static int send_new_lease(struct dispatch *d, struct group *g, size_t i, struct error *e)
{
    struct lease *lease = &d->leases.items[i];
    const char *key = d->trials[i].key;
    lease->attempts = lease->attempts ? lease->attempts + 1 : attempts_before(d, key) + 1;
    lease->number = ++d->last_lease;
    struct json *fields = json_object();
    json_set_string(fields, "trial", key);
    json_set_string(fields, "group", g->token);
    json_set_number(fields, "lease", (double)lease->number);
    json_set_number(fields, "attempt", lease->attempts);
    if (dispatch_log_event(d, "lease", fields, e) || leases_move(&d->leases, i, LEASE_GIVEN, e) ||
        state_move(&group_states, &g->state, GROUP_BUSY, e))
        return -1;
    g->lease = lease->number;
    g->trial = i;
    d->counts.leases++;
    g->decided_epoch = 0;
    g->idle_since = 0;
    group_note_beat(g, &(struct message_beat){.lease = g->lease});
    return dispatch_send_lease(d, g) ? 0 : dispatch_fail_group(d, g, 0, "it is not connected any more", e);
}

static int send_new_leases(struct dispatch *d, struct error *e)
{
    size_t trial;
    for (size_t i = 0; i < d->roster.count; i++)
        if (d->roster.groups[i]->state == GROUP_IDLE && leases_next(&d->leases, &trial) &&
            send_new_lease(d, d->roster.groups[i], trial, e))
            return -1;
    return 0;
}

/* The process of a group is gone, in whatever way it is seen: true, and how in *why. */
static bool process_ended(struct group *g, const char **why)
{
    bool ended = group_poll(g);
    *why = ended ? g->ending : "its process does not exist any more";
    return ended || (g->state != GROUP_STARTING && group_vanished(g));
}

static int watch_group(struct dispatch *d, struct group *g, struct error *e)
{
    const char *ending;
    char why[160];
    double silence;
    bool ended = process_ended(g, &ending);
    if (!live(g))
        return 0;
    if (ended && d->stopping && g->state == GROUP_STARTING) /* as we asked it to */
        return state_move(&group_states, &g->state, GROUP_GONE, e);
    if (ended && g->state == GROUP_STOPPED) /* it has saved and left */
        return state_move(&group_states, &g->state, GROUP_GONE, e);
    if (ended)
        return dispatch_fail_group(d, g, -1, ending, e);
    if (g->state == GROUP_STARTING) {
        if (clock_seconds() - g->started <= HELLO_TIMEOUT)
            return 0;
        snprintf(why, sizeof why, "it did not connect within %.0f s", HELLO_TIMEOUT);
        return dispatch_fail_group(d, g, -1, why, e);
    }
    int rank = group_most_silent(g, &silence);
    if (g->state == GROUP_STOPPED || silence <= d->options.heartbeat_timeout)
        return 0;
    snprintf(why, sizeof why, "no heartbeat for %.1f s (cluster.heartbeat_timeout is %g s)", silence,
             d->options.heartbeat_timeout);
    return dispatch_fail_group(d, g, rank, why, e);
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

static bool all_stopped(struct dispatch *d)
{
    return !roster_in(&d->roster, 1u << GROUP_BUSY | 1u << GROUP_IDLE);
}

static int continue_stop(struct dispatch *d, struct error *e)
{
    if (clock_seconds() - d->stop_sent > DISPATCH_RESEND)
        dispatch_send_stop(d);
    if (clock_seconds() - d->stop_since <= SAVE_TIMEOUT)
        return 0;
    for (size_t i = 0; i < d->roster.count; i++) {
        struct group *g = d->roster.groups[i];
        if ((g->state == GROUP_BUSY || g->state == GROUP_IDLE) &&
            dispatch_fail_group(d, g, -1, "it did not save and stop in time", e))
            return -1;
    }
    return 0;
}

/* ---- the run ---- */

/* Visits all groups: not after every message, of which a thousand groups send thousands a second. */
static int poll_groups(struct dispatch *d, struct error *e)
{
    d->polled = clock_seconds();
    if (watch_groups(d, e))
        return -1;
    show_progress(d);
    dispatch_metrics_update(d, false);
    return 0;
}

static int run_iteration(struct dispatch *d, struct error *e)
{
    if (!d->stopping && stop_requested())
        dispatch_begin_stop(d);
    if (d->stopping ? continue_stop(d, e) : start_groups(d, e) || send_new_leases(d, e))
        return -1;
    if (dispatch_receive(d, e))
        return -1;
    return clock_seconds() - d->polled < DISPATCH_POLL ? 0 : poll_groups(d, e);
}

static bool finished(struct dispatch *d)
{
    if (d->stopping)
        return all_stopped(d);
    return !leases_in(&d->leases, LEASE_QUEUED) && !leases_in(&d->leases, LEASE_GIVEN);
}

/* Groups that still work for a run that failed: their leases end here, and later messages from them are ignored. */
static void abandon(struct dispatch *d, const struct error *e)
{
    for (size_t i = 0; i < d->roster.count; i++) {
        struct group *g = d->roster.groups[i];
        if (g->state != GROUP_BUSY)
            continue;
        dispatch_send_goodbye(d, g->token, dispatch_goodbye_code(d, e->kind));
        g->state = GROUP_GONE;
        g->lease = 0;
    }
}

static int run_to_end(struct dispatch *d, struct error *e)
{
    while (!finished(d)) {
        struct error failure = {0};
        if (!run_iteration(d, &failure))
            continue;
        if (failure.kind == ERROR_STOPPED && !d->stopping) { /* an observer saw the signal first */
            dispatch_begin_stop(d);
            continue;
        }
        abandon(d, &failure);
        if (e)
            *e = failure;
        return -1;
    }
    if (d->stopping)
        return error_set(e, ERROR_STOPPED, "stopped on request; run the same command again to resume");
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
        group_reset_silence(d->roster.groups[i]);
    int result = run_to_end(d, e);
    progress_destroy(&d->progress);
    dispatch_metrics_update(d, true);
    leases_free(&d->leases);
    d->trials = NULL;
    d->observer = NULL;
    return result;
}
