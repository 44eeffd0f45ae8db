/* Owns the life of a worker group: orders from rank 0 to the others, leases, devices, reports. */
#include "worker/agent.h"

#include "common/base/clock.h"
#include "common/base/fault.h"
#include "common/base/log.h"
#include "common/base/machine.h"
#include "common/base/memory.h"
#include "common/base/operation.h"
#include "common/base/stop.h"
#include "worker/introduction.h"
#include "worker/link.h"
#include "worker/train/group.h"
#include "worker/train/trace_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define IDLE_TURN 1.0 /* seconds: idle ranks hear from rank 0 at least this often, long before a deadline */
#define PATIENCE 4.0  /* heartbeat timeouts that a rank waits for another: rank 0 may be waiting for a verdict */
#define LEAVE_WITHIN 10.0

/* The reference is there to be right: measuring it would take longer than the small work it is used for. */
static double measure(struct device *d)
{
    return strcmp(d->run->name, "cpu_reference") ? device_gemm_rate(d) : 0;
}

const struct agent_work agent_training = {trainer_run, scorer_run, device_create, device_describe, measure};

struct agent {
    const struct agent_options *options;
    const struct agent_work *work;
    struct communicator *communicator;
    struct link *link;
    struct device *devices[PRECISIONS]; /* made when first needed */
    uint64_t lease;                     /* the one at work */
    bool said_stopped, traces;
    double leave_by; /* after a signal of its own, if the coordinator does not answer */
};

/* What rank 0 tells the others between leases. */
enum order_kind { ORDER_WAIT, ORDER_LEASE, ORDER_END };

struct order {
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
        return error_set(e, ERROR_USAGE, "train.precision: \"%s\" is not known; use f32 or bf16", precision);
    if (!a->devices[i] && a->work->open(&a->devices[i], a->options->device, (enum precision)i, a->options->threads, e))
        return -1;
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
                             .gemm_share = r->gemm_share};
    link_report(a->link, &b);
}

static int report_epoch(void *context, const struct epoch_report *r, struct verdict *ret, struct error *e)
{
    struct agent *a = context;
    struct message answer,
        question = {
            .kind = MESSAGE_EPOCH,
            .epoch = {.lease = a->lease, .epoch = r->epoch, .train_loss = r->train_loss, .logits = (char *)(uintptr_t)r->logits}};
    if (link_ask(a->link, &question, &answer, e))
        return -1;
    const struct message_verdict *v = &answer.verdict;
    *ret = (struct verdict){v->best, v->stop, v->metrics ? json_print(v->metrics, false) : NULL};
    message_free(&answer);
    return 0;
}

static void send_or_warn(struct agent *a, const struct message *m)
{
    struct error e;
    if (link_send(a->link, m, &e))
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
    char words[sizeof why->message];
    snprintf(words, sizeof words, "%s", why->message);
    m.failed.words = words;
    send_or_warn(a, &m);
}

static void send_stopped(struct agent *a, bool leaving)
{
    struct message m = {.kind = MESSAGE_STOPPED, .stopped = {a->lease, leaving}};
    send_or_warn(a, &m);
    a->said_stopped = true;
    a->leave_by = clock_seconds() + LEAVE_WITHIN;
}

/* ---- one lease, all ranks ---- */

static int carry_out(struct trainer_result *ret, struct agent *a, const struct trial *t, struct error *e)
{
    const struct observer o = {a, report_step, report_epoch}, *observer = &o;
    struct device *d;
    operation_begin("load");
    if (group_agree(a->communicator, find_device(&d, a, t->precision, e), e))
        return -1;
    if (t->kind == TRIAL_TRAIN && a->work->measure && !d->gemm_rate)
        d->gemm_rate = a->work->measure(d); /* all ranks at once, as they will train */
    if (t->kind == TRIAL_TRAIN)
        return a->work->train(ret, t, d, a->communicator, observer, e);
    double start = clock_seconds();
    int result = a->work->score(t, d, a->communicator, observer, e);
    ret->seconds = clock_seconds() - start;
    return result;
}

/* 0: the group is well, whatever became of the lease, which is reported. -1: its ranks have lost each other. */
static int do_lease(struct agent *a, const struct trial *t, struct error *e)
{
    struct trainer_result r = {0};
    struct error why = {0}, broken;
    int result = carry_out(&r, a, t, &why);
    bool healthy = !group_agree(a->communicator, 0, &broken);
    bool stopped = result && why.kind == ERROR_STOPPED && healthy;
    if (!a->communicator->rank) {
        struct link_news news;
        link_look(a->link, &news);
        if (!result && healthy)
            send_result(a, &r);
        else if (stopped)
            send_stopped(a, !news.stop && !news.goodbye);
        else
            send_failed(a, result ? &why : &broken, healthy);
    }
    free(r.best_weights);
    a->lease = 0;
    operation_begin("wait");
    link_report(a->link, &(struct message_beat){0});
    if (!healthy && e)
        *e = result ? why : broken;
    return healthy ? 0 : -1;
}

/* ---- ranks that follow ---- */

static void begin_lease(struct agent *a, const struct trial *t, uint64_t lease, uint32_t attempt)
{
    a->lease = lease;
    fault_set_trial(t->key, attempt);
    link_report(a->link, &(struct message_beat){.lease = lease});
}

static int follow_lease(struct agent *a, const struct order *order, struct error *e)
{
    char *text = allocate(order->size + 1, 1);
    struct json *j = NULL;
    struct trial t = {0};
    int result = a->communicator->run->broadcast(a->communicator, text, order->size, 0, e);
    if (!result && !(result = json_parse(&j, text, order->size, "lease", e)))
        result = trial_from_json(&t, j, e);
    json_destroy(&j);
    free(text);
    if (!result) {
        begin_lease(a, &t, order->lease, order->attempt);
        result = do_lease(a, &t, e);
    }
    trial_free(&t);
    return result;
}

static int follow(struct agent *a, int *exit_code, struct error *e)
{
    for (;;) {
        struct order order;
        if (a->communicator->run->broadcast(a->communicator, &order, sizeof order, 0, e))
            return -1;
        a->communicator->timeout = order.timeout;
        if (order.kind == ORDER_END) {
            *exit_code = order.exit_code;
            return 0;
        }
        if (order.kind == ORDER_LEASE && follow_lease(a, &order, e))
            return -1;
    }
}

/* ---- rank 0, which leads ---- */

static int give_order(struct agent *a, struct order order, const char *text, struct error *e)
{
    struct communicator *c = a->communicator;
    order.timeout = c->timeout;
    if (c->size == 1)
        return 0;
    if (c->run->broadcast(c, &order, sizeof order, 0, e))
        return -1;
    return text ? c->run->broadcast(c, (void *)(uintptr_t)text, order.size, 0, e) : 0;
}

static int lead_lease(struct agent *a, const struct message_lease *lease, struct error *e)
{
    struct json *j = trial_to_json(&lease->trial);
    char *text = json_print(j, false);
    json_destroy(&j);
    struct order order = {.kind = ORDER_LEASE, .lease = lease->lease, .attempt = lease->attempt, .size = strlen(text)};
    begin_lease(a, &lease->trial, lease->lease, lease->attempt);
    log_debug("lease %llu: trial %s, attempt %u", (unsigned long long)lease->lease, lease->trial.key, lease->attempt);
    int result = give_order(a, order, text, e);
    free(text);
    return result ? -1 : do_lease(a, &lease->trial, e);
}

/* True: it is time to end. */
static bool judge(struct agent *a, const struct link_news *news, int *exit_code)
{
    *exit_code = news->goodbye ? news->exit_code : ERROR_STOPPED;
    if (news->goodbye)
        return true;
    if (news->lost) {
        log_warn("%s; ending", news->why);
        return true;
    }
    if (stop_requested() && !a->said_stopped)
        send_stopped(a, !news->stop);
    return stop_requested() && !news->stop && clock_seconds() > a->leave_by;
}

static int lead(struct agent *a, int *exit_code, struct error *e)
{
    struct link_news news = {0};
    for (;;) {
        struct message lease;
        bool came = link_wait(a->link, IDLE_TURN, &lease, &news);
        bool ends = judge(a, &news, exit_code);
        int result;
        if (ends)
            result = give_order(a, (struct order){.kind = ORDER_END, .exit_code = *exit_code}, NULL, e);
        else if (came && !news.stop)
            result = lead_lease(a, &lease.lease, e);
        else
            result = give_order(a, (struct order){.kind = ORDER_WAIT}, NULL, e);
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
        log_debug("no random token; the process number has to do");
    snprintf(text, size, "worker-%08x%08x", chance[0], chance[1]);
}

/* problem: why this group cannot work, for the coordinator to say; NULL: it can. */
static int connect_rank(struct agent *a, char *group, const struct introduction *i, const char *problem, struct error *e)
{
    char device[256] = "", host[MACHINE_NAME];
    machine_name(host, sizeof host);
    if (a->devices[PRECISION_F32])
        a->work->describe(a->devices[PRECISION_F32], device, sizeof device);
    struct message_hello hello = {.host = host,
                                  .device = device,
                                  .pid = getpid(),
                                  .ranks = (uint32_t)a->communicator->size,
                                  .threads = (uint32_t)a->options->threads,
                                  .group = group,
                                  .rank = (uint32_t)a->communicator->rank,
                                  .build = i->build[0] ? (char *)(uintptr_t)i->build : NULL,
                                  .places = i->places,
                                  .problem = (char *)(uintptr_t)problem};
    if (link_create(&a->link, a->options->connection, &hello, e))
        return -1;
    a->communicator->timeout = PATIENCE * link_heartbeat_timeout(a->link);
    return 0;
}

/* Rank 0 makes the group known, or says why it will not do. result: of all ranks so far. */
static int introduce(struct agent *a, char *group, const struct introduction *i, int result, struct error *e)
{
    struct error ignored;
    if (!result)
        return connect_rank(a, group, i, NULL, e);
    connect_rank(a, group, i, e->message, &ignored);
    return -1;
}

/* All ranks: rank 0 makes the group known, then the others follow under its name. result: of this rank so far. */
static int connect_agent(struct agent *a, int result, struct error *e)
{
    struct communicator *c = a->communicator;
    struct introduction i = {0};
    char group[PEER_NAME];
    if (a->options->group)
        snprintf(group, sizeof group, "%s", a->options->group);
    else
        make_token(group, sizeof group);
    result = group_agree(c, result, e);
    if (!result)
        result = introduction_make(&i, c, a->options->connection, e);
    if (!c->rank)
        result = introduce(a, group, &i, result, e);
    free(i.places);
    i.places = NULL;
    if (group_agree(c, result, e) || c->run->broadcast(c, group, sizeof group, 0, e))
        return -1;
    return group_agree(c, c->rank ? connect_rank(a, group, &i, NULL, e) : 0, e);
}

/* Nothing can be agreed on any more, not even the end. */
static void end_broken(struct agent *a, const struct error *e)
{
    log_warn("%s", e->message);
    link_destroy(&a->link);
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
    int result = find_device(&first, &a, precision_names[PRECISION_F32],
                             e); /* a device that is not there is said before any work is taken */
    fault_set_rank(c->rank);
    operation_begin("wait");
    result = connect_agent(&a, result, e);
    if (!result) {
        result = begin_trace(&a, e) || (c->rank ? follow(&a, exit_code, e) : lead(&a, exit_code, e)) ? -1 : 0;
        if (result)
            end_broken(&a, e);
        else
            end_trace(&a);
    }
    link_destroy(&a.link);
    close_devices(&a);
    return result;
}
