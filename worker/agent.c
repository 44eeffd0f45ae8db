/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the life of a worker group: commands from rank 0 to the others, leases, devices, reports. */
#include "worker/agent.h"

#include "common/base/clock.h"
#include "common/base/fault.h"
#include "common/base/log.h"
#include "common/base/machine.h"
#include "common/base/memory.h"
#include "common/base/operation.h"
#include "common/base/stop.h"
#include "worker/client.h"
#include "worker/preflight.h"
#include "worker/train/agree.h"
#include "worker/train/trace_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define IDLE_INTERVAL 1.0  /* seconds: rank 0 sends idle ranks a command at least this often, long before a deadline */
#define TIMEOUT_FACTOR 4.0 /* ranks wait so many heartbeat timeouts for each other: rank 0 may be waiting for a decision */
#define LEAVE_TIMEOUT 10.0

const struct agent_work agent_training = {trainer_run, scorer_run, device_create, device_describe, device_peak};

struct agent {
    const struct agent_options *options;
    const struct agent_work *work;
    struct communicator *communicator;
    struct client *client;
    struct device *devices[PRECISIONS]; /* made when first needed */
    uint64_t lease;                     /* the one at work */
    bool stopped_sent, traces;
    double leave_deadline; /* after a signal of its own, if the coordinator does not answer */
};

/* What rank 0 broadcasts between leases. */
enum command_kind { COMMAND_WAIT, COMMAND_LEASE, COMMAND_END };

struct command {
    uint32_t kind;
    int32_t exit_code;
    uint64_t lease;
    uint32_t attempt;
    uint64_t size;  /* of the trial's text that follows */
    double timeout; /* of the communicator */
};

/* ---- devices ---- */

static int find_device(struct device **ret, struct agent *a, const char *precision, struct error *e)
{
    int i = precision_find(precision);
    if (i < 0)
        return error_set(e, ERROR_USAGE, "train.precision: \"%s\" is not known; use f32, bf16 or tf32", precision);
    if (!a->devices[i] && a->work->open(&a->devices[i], a->options->device, (enum precision)i, a->options->threads, e))
        return -1;
    a->devices[i]->timeout = a->communicator->timeout;
    *ret = a->devices[i];
    return 0;
}

static void close_devices(struct agent *a)
{
    for (int i = 0; i < PRECISIONS; i++)
        if (a->devices[i])
            a->devices[i]->run->destroy(a->devices[i]);
}

/* ---- reports, rank 0 ---- */

static void report_step(void *context, const struct step_report *r)
{
    struct agent *a = context;
    struct message_beat b = {.lease = a->lease,
                             .step = r->step,
                             .steps = r->steps,
                             .epoch = r->epoch,
                             .epochs = r->epochs,
                             .loss = r->loss,
                             .lr = r->lr,
                             .grad_norm = r->grad_norm,
                             .tokens_per_second = r->tokens_per_second,
                             .examples_per_second = r->examples_per_second,
                             .peak_share = r->peak_share};
    client_set_progress(a->client, &b);
}

static int report_epoch(void *context, const struct epoch_report *r, struct epoch_decision *ret, struct error *e)
{
    struct agent *a = context;
    struct message answer,
        request = {
            .kind = MESSAGE_EPOCH,
            .epoch = {.lease = a->lease, .epoch = r->epoch, .train_loss = r->train_loss, .logits = (char *)(uintptr_t)r->logits}};
    if (client_ask(a->client, &request, &answer, e))
        return -1;
    const struct message_epoch_decision *v = &answer.epoch_decision;
    *ret = (struct epoch_decision){v->best, v->stop, v->metrics ? json_print(v->metrics, false) : NULL};
    message_free(&answer);
    return 0;
}

static void send_or_warn(struct agent *a, const struct message *m)
{
    struct error e;
    if (client_send(a->client, m, &e))
        log_warn("%s", e.message);
}

static void send_result(struct agent *a, const struct trainer_result *r)
{
    struct message m = {.kind = MESSAGE_RESULT,
                        .result = {a->lease, r->epochs_done, r->best_epoch, r->steps, r->tokens, r->seconds, r->best_weights}};
    send_or_warn(a, &m);
}

static void send_failed(struct agent *a, const struct error *why, bool healthy)
{
    struct message m = {.kind = MESSAGE_FAILED, .failed = {a->lease, why->kind ? (int)why->kind : ERROR_FAILED, NULL, healthy}};
    char reason[sizeof why->message];
    snprintf(reason, sizeof reason, "%s", why->message);
    m.failed.reason = reason;
    send_or_warn(a, &m);
}

static void send_stopped(struct agent *a, bool leaving)
{
    struct message m = {.kind = MESSAGE_STOPPED, .stopped = {a->lease, leaving}};
    send_or_warn(a, &m);
    a->stopped_sent = true;
    a->leave_deadline = clock_seconds() + LEAVE_TIMEOUT;
}

/* ---- one lease, all ranks ---- */

static int run_trial(struct trainer_result *ret, struct agent *a, const struct trial *t, struct error *e)
{
    const struct observer o = {a, report_step, report_epoch}, *observer = &o;
    struct device *d = NULL;
    operation_begin("load");
    if (agree(a->communicator, find_device(&d, a, t->precision, e), e))
        return -1;
    if (t->kind == TRIAL_TRAIN && a->work->measure && !d->peak)
        d->peak = a->work->measure(d); /* all ranks at once, as they will train */
    if (t->kind == TRIAL_TRAIN)
        return a->work->train(ret, t, d, a->communicator, observer, e);
    double start = clock_seconds();
    int result = a->work->score(t, d, a->communicator, observer, e);
    ret->seconds = clock_seconds() - start;
    return result;
}

static bool device_is_lost(const struct agent *a)
{
    bool lost = false;
    for (int i = 0; i < PRECISIONS; i++)
        lost |= a->devices[i] && a->devices[i]->lost;
    return lost;
}

/* 0: the group can go on, whatever became of the lease, which is reported. -1: its ranks have lost each other, or one its
 * device, and have to end. */
static int run_lease(struct agent *a, const struct trial *t, struct error *e)
{
    struct trainer_result r = {0};
    struct error why = {0}, broken;
    int result = run_trial(&r, a, t, &why);
    broken = why;
    bool healthy = !agree(a->communicator, device_is_lost(a), &broken);
    bool stopped = result && why.kind == ERROR_STOPPED && healthy;
    if (!a->communicator->rank) {
        struct client_status status;
        client_poll(a->client, &status);
        if (!result && healthy)
            send_result(a, &r);
        else if (stopped)
            send_stopped(a, !status.stop && !status.goodbye);
        else
            send_failed(a, result ? &why : &broken, healthy);
    }
    free(r.best_weights);
    a->lease = 0;
    operation_begin("wait");
    client_set_progress(a->client, &(struct message_beat){0});
    if (!healthy && e)
        *e = result ? why : broken;
    return healthy ? 0 : -1;
}

/* ---- followers ---- */

static void enter_lease(struct agent *a, const struct trial *t, uint64_t lease, uint32_t attempt)
{
    a->lease = lease;
    fault_set_trial(t->key, attempt);
    client_set_progress(a->client, &(struct message_beat){.lease = lease});
}

static int receive_lease(struct agent *a, const struct command *command, struct error *e)
{
    char *text = allocate(command->size + 1, 1);
    struct json *j = NULL;
    struct trial t = {0};
    int result = a->communicator->run->broadcast(a->communicator, text, command->size, 0, e);
    if (!result && !(result = json_parse(&j, text, command->size, "lease", e)))
        result = trial_from_json(&t, j, e);
    json_destroy(&j);
    free(text);
    if (!result) {
        enter_lease(a, &t, command->lease, command->attempt);
        result = run_lease(a, &t, e);
    }
    trial_free(&t);
    return result;
}

static int run_follower(struct agent *a, int *exit_code, struct error *e)
{
    for (;;) {
        struct command command;
        if (a->communicator->run->broadcast(a->communicator, &command, sizeof command, 0, e))
            return -1;
        a->communicator->timeout = command.timeout;
        if (command.kind == COMMAND_END) {
            *exit_code = command.exit_code;
            return 0;
        }
        if (command.kind == COMMAND_LEASE && receive_lease(a, &command, e))
            return -1;
    }
}

/* ---- rank 0, the leader ---- */

static int send_command(struct agent *a, struct command command, const char *text, struct error *e)
{
    struct communicator *c = a->communicator;
    command.timeout = c->timeout;
    if (c->size == 1)
        return 0;
    if (c->run->broadcast(c, &command, sizeof command, 0, e))
        return -1;
    return text ? c->run->broadcast(c, (void *)(uintptr_t)text, command.size, 0, e) : 0;
}

static int broadcast_lease(struct agent *a, const struct message_lease *lease, struct error *e)
{
    struct json *j = trial_to_json(&lease->trial);
    char *text = json_print(j, false);
    json_destroy(&j);
    struct command command = {.kind = COMMAND_LEASE, .lease = lease->lease, .attempt = lease->attempt, .size = strlen(text)};
    enter_lease(a, &lease->trial, lease->lease, lease->attempt);
    log_debug("lease %llu: trial %s, attempt %u", (unsigned long long)lease->lease, lease->trial.key, lease->attempt);
    int result = send_command(a, command, text, e);
    free(text);
    return result ? -1 : run_lease(a, &lease->trial, e);
}

static bool must_end(struct agent *a, const struct client_status *status, int *exit_code)
{
    *exit_code = status->goodbye ? status->exit_code : ERROR_STOPPED;
    if (status->goodbye)
        return true;
    if (status->lost) {
        log_warn("%s; ending", status->why);
        return true;
    }
    if (stop_requested() && !a->stopped_sent)
        send_stopped(a, !status->stop);
    return stop_requested() && !status->stop && clock_seconds() > a->leave_deadline;
}

static int run_leader(struct agent *a, int *exit_code, struct error *e)
{
    struct client_status status = {0};
    for (;;) {
        struct message lease;
        bool came = client_wait(a->client, IDLE_INTERVAL, &lease, &status);
        bool ends = must_end(a, &status, exit_code);
        int result;
        if (ends)
            result = send_command(a, (struct command){.kind = COMMAND_END, .exit_code = *exit_code}, NULL, e);
        else if (came && !status.stop)
            result = broadcast_lease(a, &lease.lease, e);
        else
            result = send_command(a, (struct command){.kind = COMMAND_WAIT}, NULL, e);
        if (came)
            message_free(&lease);
        if (result || ends)
            return result;
    }
}

/* ---- the whole ---- */

static void make_token(char *text, size_t size)
{
    uint32_t chance[2] = {(uint32_t)getpid(), 0};
    if (getrandom(chance, sizeof chance, 0) < 0)
        log_debug("no random token; using the process id");
    snprintf(text, size, "worker-%08x%08x", chance[0], chance[1]);
}

/* problem: why this group cannot work, for the coordinator to report; NULL: it can. */
static int connect_rank(struct agent *a, char *group, const struct preflight *p, const char *problem, struct error *e)
{
    char device[256] = "", host[MACHINE_NAME], pids[MACHINE_PIDS];
    machine_name(host, sizeof host);
    machine_pids(pids);
    if (a->devices[PRECISION_F32])
        a->work->describe(a->devices[PRECISION_F32], device, sizeof device);
    struct message_hello hello = {.host = host,
                                  .device = device,
                                  .pid = getpid(),
                                  .pid_namespace = pids,
                                  .ranks = (uint32_t)a->communicator->size,
                                  .threads = (uint32_t)a->options->threads,
                                  .group = group,
                                  .rank = (uint32_t)a->communicator->rank,
                                  .build = p->build[0] ? (char *)(uintptr_t)p->build : NULL,
                                  .places = p->places,
                                  .problem = (char *)(uintptr_t)problem};
    if (client_create(&a->client, a->options->connection, &hello, e))
        return -1;
    a->communicator->timeout = TIMEOUT_FACTOR * client_heartbeat_timeout(a->client);
    return 0;
}

/* Rank 0 registers the group, or reports why it cannot work. result: of all ranks so far. */
static int announce(struct agent *a, char *group, const struct preflight *p, int result, struct error *e)
{
    struct error ignored;
    if (!result)
        return connect_rank(a, group, p, NULL, e);
    connect_rank(a, group, p, e->message, &ignored);
    return -1;
}

/* All ranks: rank 0 registers the group, then the others connect under its name. result: of this rank so far. */
static int connect_agent(struct agent *a, int result, struct error *e)
{
    struct communicator *c = a->communicator;
    struct preflight p = {0};
    char group[PEER_NAME];
    if (a->options->group)
        snprintf(group, sizeof group, "%s", a->options->group);
    else
        make_token(group, sizeof group);
    result = agree(c, result, e);
    if (!result)
        result = preflight_check(&p, c, a->options->connection, device_gpu(a->devices[PRECISION_F32]), e);
    if (!c->rank)
        result = announce(a, group, &p, result, e);
    free(p.places);
    p.places = NULL;
    if (agree(c, result, e) || c->run->broadcast(c, group, sizeof group, 0, e))
        return -1;
    return agree(c, c->rank ? connect_rank(a, group, &p, NULL, e) : 0, e);
}

/* The ranks cannot agree on anything any more, not even on ending. */
static void abort_group(struct agent *a, const struct error *e)
{
    log_warn("%s", e->message);
    client_destroy(&a->client);
    a->communicator->run->abort(a->communicator, ERROR_FAILED);
}

/* ---- trace ---- */

/* The coordinator counts its groups from 1 ("3-5f2c81d0"), those under an MPI launcher count from 0 ("attached-2"). */
static char *trace_path(const struct agent_options *o)
{
    const char *digits = o->group ? strpbrk(o->group, "0123456789") : NULL, *dot = strrchr(o->trace, '.');
    long number = digits ? strtol(digits, NULL, 10) + (digits != o->group) : 1;
    if (number <= 1)
        return duplicate(o->trace);
    if (!dot || strchr(dot, '/'))
        dot = o->trace + strlen(o->trace);
    return format_string("%.*s.%ld%s", (int)(dot - o->trace), o->trace, number, dot);
}

static int begin_trace(struct agent *a, struct error *e)
{
    a->traces = !a->communicator->rank && a->options->trace;
    if (a->communicator->run->broadcast(a->communicator, &a->traces, sizeof a->traces, 0, e))
        return -1;
    return a->traces ? trace_file_begin(a->communicator, e) : 0;
}

/* A trace that cannot be written is no reason for the run to fail. */
static void end_trace(struct agent *a)
{
    struct error e;
    if (!a->traces)
        return;
    char *path = a->communicator->rank ? NULL : trace_path(a->options);
    if (trace_file_write(path, a->communicator, &e) && !a->communicator->rank)
        log_warn("%s", e.message);
    free(path);
}

int agent_run(int *exit_code, const struct agent_options *o, const struct agent_work *w, struct communicator *c, struct error *e)
{
    struct agent a = {.options = o, .work = w, .communicator = c};
    struct device *first;
    int result =
        find_device(&first, &a, precision_names[PRECISION_F32], e); /* an unknown device is reported before any lease is taken */
    fault_set_rank(c->rank);
    operation_begin("wait");
    result = connect_agent(&a, result, e);
    if (!result) {
        result = begin_trace(&a, e) || (c->rank ? run_follower(&a, exit_code, e) : run_leader(&a, exit_code, e)) ? -1 : 0;
        if (result)
            abort_group(&a, e);
        else
            end_trace(&a);
    }
    client_destroy(&a.client);
    close_devices(&a);
    return result;
}
