/* Owns the giving of leases to worker groups, and what happens to them. */
#include "coordinator/dispatch/dispatch.h"

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/log.h"
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

#define HELLO_WITHIN 120.0 /* seconds that a started group has to say HELLO */
#define SAVE_WITHIN 120.0  /* seconds that groups have to save and say STOPPED */
#define END_WITHIN 10.0    /* seconds that processes have to end after GOODBYE */
#define FILES_BESIDES 256  /* what a coordinator has open beside its connections, and some more */
#define REMIND_EVERY 30.0

/* ---- making and ending ---- */

static void copy_options(struct dispatch_options *to, const struct dispatch_options *from)
{
    *to = *from;
    to->directory = duplicate(from->directory);
    to->worker = duplicate(from->worker);
    to->launcher = duplicate(from->launcher);
    to->device = duplicate(from->device ? from->device : "auto");
    to->hostfile = NULL;
    to->interface = from->interface && interface_is_common(from->interface) ? duplicate(from->interface) : NULL;
}

static void free_options(struct dispatch_options *o)
{
    free((char *)(uintptr_t)o->directory);
    free((char *)(uintptr_t)o->worker);
    free((char *)(uintptr_t)o->launcher);
    free((char *)(uintptr_t)o->device);
    free((char *)(uintptr_t)o->interface);
}

/* Every rank may have a connection, which is an open file. */
static int allow_files(const struct dispatch_options *o, struct error *e)
{
    struct rlimit files;
    rlim_t needed = (rlim_t)o->groups * (rlim_t)o->ranks_per_group + FILES_BESIDES;
    if (o->groups < 1 || o->ranks_per_group < 1) /* refused elsewhere */
        return 0;
    if (getrlimit(RLIMIT_NOFILE, &files) || files.rlim_cur >= needed)
        return 0;
    if (files.rlim_max < needed)
        return error_set(
            e, ERROR_USAGE,
            "cluster: %d groups of %d ranks need %llu open files here, and %llu are allowed; raise the limit (ulimit "
            "-Hn), or use fewer groups",
            o->groups, o->ranks_per_group, (unsigned long long)needed, (unsigned long long)files.rlim_max);
    files.rlim_cur = needed;
    return setrlimit(RLIMIT_NOFILE, &files) ? error_errno(e, errno, "the limit of open files cannot be raised") : 0;
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
    char address[INTERFACE_ADDRESS];
    struct hosts *hosts;
    if (allow_files(options, e) || dispatch_find_hosts(&hosts, address, options, e))
        return -1;
    struct dispatch *d = allocate(1, sizeof *d);
    copy_options(&d->options, options);
    d->options.threads = dispatch_threads(options, hosts);
    d->launcher = launcher_find(options->launcher, e);
    d->hosts = hosts;
    d->log = log;
    d->last_lease = last_lease_of(log);
    d->connection = path_join(options->directory, CONNECTION_FILE);
    if (listener_create(&d->listener, address, e) || dispatch_metrics_open(d, e) || write_connection(d, e)) {
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

static void send_all_away(struct dispatch *d, int exit_code)
{
    double end = clock_seconds() + END_WITHIN;
    do { /* again: a message may be lost */
        for (size_t i = 0; i < d->roster.count; i++) {
            struct group *g = d->roster.groups[i];
            if (g->state == GROUP_STARTING)
                group_kill(g, SIGTERM);
            else
                dispatch_dismiss(d, g->token, dispatch_goodbye_code(d, exit_code));
        }
        wait_for_processes(d, END_WITHIN / 4);
    } while (processes_left(d) && clock_seconds() < end);
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
    for (size_t i = 0; i < d->roster.count; i++)
        hosts_give(d->hosts, &d->roster.groups[i]->seats, false);
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

static bool crowded(const struct dispatch *d)
{
    int ranks = d->hosts                   ? hosts_most(d->hosts)
                : d->options.ranks_on_host ? d->options.ranks_on_host
                                           : d->options.groups * d->options.ranks_per_group;
    return ranks * d->options.threads > launcher_cores();
}

/* One that cannot be started gives its seats back. */
static int start_group(struct dispatch *d, struct seats seats, struct error *e)
{
    char token[PEER_NAME];
    snprintf(token, sizeof token, "%d-%s", ++d->started, d->run_name);
    struct launch launch = {.worker = d->options.worker,
                            .connection = d->connection,
                            .device = d->options.device,
                            .group = token,
                            .ranks = d->options.ranks_per_group,
                            .threads = d->options.threads,
                            .crowded = crowded(d),
                            .spec = seats.spec,
                            .interface = d->options.interface,
                            .heartbeat_timeout = d->options.heartbeat_timeout};
    struct launched launched;
    if (d->launcher->start(&launched, &launch, e)) {
        hosts_give(d->hosts, &seats, false);
        return -1;
    }
    struct group *g = roster_add(&d->roster, token);
    g->seats = seats;
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
            return start_group(d, (struct seats){0}, e);
        if (!roster_in(&d->roster, ROSTER_LIVE))
            return error_set(e, ERROR_FAILED, "the workers of this MPI job have ended; run the same command again to resume");
        return 0;
    }
    while (roster_in(&d->roster, ROSTER_LIVE) < wanted) {
        struct seats seats;
        bool found;
        if (dispatch_seat(d, &found, &seats, e) || (found && start_group(d, seats, e)))
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

bool dispatch_send_lease(struct dispatch *d, const struct group *g)
{
    const struct lease *lease = &d->leases.items[g->trial];
    struct message m = {.kind = MESSAGE_LEASE,
                        .lease = {.lease = g->lease, .attempt = lease->attempts, .trial = d->trials[g->trial]}};
    if (lease->deaths)
        m.lease.trial.resume = 1; /* what the dead group saved is ours */
    return dispatch_send(d, g->token, &m);
}

static int give_lease(struct dispatch *d, struct group *g, size_t i, struct error *e)
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
    if (dispatch_note(d, "lease", fields, e) || state_move(&lease_states, &lease->state, LEASE_GIVEN, e) ||
        state_move(&group_states, &g->state, GROUP_BUSY, e))
        return -1;
    g->lease = lease->number;
    g->trial = i;
    d->counts.leases++;
    g->judged = 0;
    g->idle_since = 0;
    group_note_beat(g, &(struct message_beat){.lease = g->lease});
    return dispatch_send_lease(d, g) ? 0 : dispatch_group_dies(d, g, 0, "its connection is gone", e);
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

/* The process of a group is gone, in whatever way it is seen: true, and how in *why. */
static bool process_ended(struct group *g, const char **why)
{
    bool ended = group_poll(g);
    *why = ended ? g->ending : "its process is gone";
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
        return dispatch_group_dies(d, g, -1, ending, e);
    if (g->state == GROUP_STARTING) {
        if (clock_seconds() - g->started <= HELLO_WITHIN)
            return 0;
        snprintf(why, sizeof why, "it has not come up within %.0f s", HELLO_WITHIN);
        return dispatch_group_dies(d, g, -1, why, e);
    }
    int rank = group_most_silent(g, &silence);
    if (g->state == GROUP_STOPPED || silence <= d->options.heartbeat_timeout)
        return 0;
    snprintf(why, sizeof why, "not heard of for %.1f s (cluster.heartbeat_timeout is %g s)", silence,
             d->options.heartbeat_timeout);
    return dispatch_group_dies(d, g, rank, why, e);
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

static void say_stop(struct dispatch *d)
{
    d->stop_said = clock_seconds();
    for (size_t i = 0; i < d->roster.count; i++) {
        struct group *g = d->roster.groups[i];
        if (g->state == GROUP_STARTING)
            group_kill(g, SIGTERM);
        else if (live(g))
            dispatch_send(d, g->token, &(struct message){.kind = MESSAGE_STOP});
    }
}

void dispatch_ask_to_stop(struct dispatch *d)
{
    d->stopping = true;
    d->stop_since = clock_seconds();
    size_t busy = roster_in(&d->roster, 1u << GROUP_BUSY);
    log_info("stopping: %zu worker group%s first", busy, busy == 1 ? " saves" : "s save");
    say_stop(d);
}

static bool all_stopped(struct dispatch *d)
{
    return !roster_in(&d->roster, 1u << GROUP_BUSY | 1u << GROUP_IDLE);
}

static int stop_turn(struct dispatch *d, struct error *e)
{
    if (clock_seconds() - d->stop_said > DISPATCH_REPEAT)
        say_stop(d);
    if (clock_seconds() - d->stop_since <= SAVE_WITHIN)
        return 0;
    for (size_t i = 0; i < d->roster.count; i++) {
        struct group *g = d->roster.groups[i];
        if ((g->state == GROUP_BUSY || g->state == GROUP_IDLE) &&
            dispatch_group_dies(d, g, -1, "it did not save and stop in time", e))
            return -1;
    }
    return 0;
}

/* ---- the run ---- */

/* What goes through all groups: not after every message, of which a thousand groups send thousands a second. */
static int look(struct dispatch *d, struct error *e)
{
    d->looked = clock_seconds();
    if (watch_groups(d, e))
        return -1;
    show_progress(d);
    dispatch_metrics_update(d, false);
    return 0;
}

static int turn(struct dispatch *d, struct error *e)
{
    if (!d->stopping && stop_requested())
        dispatch_ask_to_stop(d);
    if (d->stopping ? stop_turn(d, e) : start_groups(d, e) || give_leases(d, e))
        return -1;
    if (dispatch_listen(d, e))
        return -1;
    return clock_seconds() - d->looked < DISPATCH_TURN ? 0 : look(d, e);
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
        dispatch_dismiss(d, g->token, dispatch_goodbye_code(d, e->kind));
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
            dispatch_ask_to_stop(d);
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
        group_listen_anew(d->roster.groups[i]);
    int result = follow(d, e);
    progress_destroy(&d->progress);
    dispatch_metrics_update(d, true);
    leases_free(&d->leases);
    d->trials = NULL;
    d->observer = NULL;
    return result;
}
