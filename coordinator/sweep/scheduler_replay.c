/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the way between events.jsonl and the scheduler. */
#include "coordinator/sweep/scheduler_replay.h"

#include "common/base/memory.h"
#include "coordinator/job/scheduler.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct pruning {
    const struct run *run;
    struct scheduler *scheduler;
};

/* What train.select names, in the metrics of an epoch; the higher the better. */
static double metric_of(const struct json *metrics, const char *select)
{
    bool loss = strcmp(select, "loss") == 0;
    const struct json *metric = json_get(metrics, loss ? "validation_loss" : select);
    if (json_type(metric) != JSON_NUMBER)
        return NAN;
    return loss ? -json_number(metric) : json_number(metric);
}

static bool find_trial(size_t *ret, const struct run *r, const char *key)
{
    for (*ret = 0; key && *ret < r->trial_count; ++*ret)
        if (strcmp(r->trials[*ret].key, key) == 0)
            return true;
    return false;
}

/* own: by trial, whether the last one begun under its key was made from what it is made from now. */
static void tell_again(struct pruning *p, bool *own, const struct json *event)
{
    const char *name = json_string(json_get(event, "event")), *identity = json_string(json_get(event, "identity"));
    const struct run *r = p->run;
    size_t i;
    if (!find_trial(&i, r, json_string(json_get(event, "trial"))))
        return;
    if (strcmp(name, "trial_started") == 0) {
        own[i] = identity && strcmp(identity, r->trials[i].identity) == 0;
        scheduler_forget(p->scheduler, i);
    } else if (own[i] && strcmp(name, "epoch") == 0) {
        scheduler_report(p->scheduler, i, (uint32_t)json_number(json_get(event, "epoch")),
                         metric_of(json_get(event, "metrics"), r->job->train.select));
    } else if (own[i] && strcmp(name, "trial_finished") == 0) {
        scheduler_complete(p->scheduler, i);
    }
}

void pruning_create(struct pruning **ret, const struct run *r)
{
    const struct job *j = r->job;
    struct scheduler_options o = {.kind = j->search.scheduler,
                                  .grace = j->search.grace_epochs,
                                  .reduction = j->search.reduction,
                                  .startup = j->search.startup_trials,
                                  .metric = j->train.select,
                                  .negated = strcmp(j->train.select, "loss") == 0};
    struct pruning *p = allocate(1, sizeof *p);
    p->run = r;
    scheduler_create(&p->scheduler, &o, r->trial_count);
    bool *own = allocate(r->trial_count, sizeof *own);
    for (size_t i = 0; o.kind != SCHEDULER_NONE && i < event_log_count(r->log); i++)
        tell_again(p, own, event_log_at(r->log, i));
    free(own);
    *ret = p;
}

void pruning_destroy(struct pruning **p)
{
    if (!*p)
        return;
    scheduler_destroy(&(*p)->scheduler);
    free(*p);
    *p = NULL;
}

/* The event of an epoch of the trial that is under way or has just ended; NULL: not judged yet. */
static const struct json *judged(const struct run *r, const struct trial_run *t, uint32_t epoch)
{
    for (size_t i = event_log_count(r->log); i-- > 0;) {
        const struct json *event = event_log_at(r->log, i);
        const char *name = json_string(json_get(event, "event")), *key = json_string(json_get(event, "trial"));
        if (!key || strcmp(key, t->key) != 0)
            continue;
        if (strcmp(name, "trial_started") == 0)
            return NULL;
        if (strcmp(name, "epoch") == 0 && json_number(json_get(event, "epoch")) == (double)epoch)
            return event;
    }
    return NULL;
}

static struct json *decide(const struct pruning *p, size_t i, uint32_t epoch)
{
    char why[SCHEDULER_WORDS];
    enum scheduler_says says = scheduler_judge(why, p->scheduler, i, epoch);
    if (says == SCHEDULER_SILENT)
        return NULL;
    struct json *decision = json_object();
    json_set_string(decision, "scheduler", scheduler_names[p->run->job->search.scheduler]);
    json_set_boolean(decision, "stop", says == SCHEDULER_STOP);
    json_set_string(decision, "why", why);
    return decision;
}

void pruning_judge(struct dispatch_decision *v, struct pruning *p, size_t i, uint32_t epoch)
{
    const struct run *r = p->run;
    const struct trial_run *t = &r->trials[i];
    if (r->job->search.scheduler == SCHEDULER_NONE)
        return;
    const struct json *before = judged(r, t, epoch), *said = json_get(before, "decision");
    scheduler_report(p->scheduler, i, epoch, metric_of(v->metrics, r->job->train.select));
    if (before)
        v->decision = said ? json_copy(said) : NULL;
    else if (!t->baseline && !v->stop && epoch < t->job.train.epochs)
        v->decision = decide(p, i, epoch);
    v->stop |= json_boolean(json_get(v->decision, "stop"));
}

void pruning_complete(struct pruning *p, size_t i)
{
    scheduler_complete(p->scheduler, i);
}

char *pruning_summary(const struct run *r, const struct trial_run *t, uint32_t epochs_done)
{
    const struct json *decision = json_get(judged(r, t, epochs_done), "decision");
    return json_boolean(json_get(decision, "stop"))
               ? format_string("pruned at epoch %u: %s", epochs_done, json_string(json_get(decision, "why")))
               : NULL;
}

char *pruning_description(const struct job *j)
{
    if (j->search.scheduler == SCHEDULER_MEDIAN)
        return format_string(", pruned by the median of %s (grace_epochs %u, startup_trials %u)", j->train.select,
                             j->search.grace_epochs, j->search.startup_trials);
    if (j->search.scheduler == SCHEDULER_ASHA)
        return format_string(", pruned by asha on %s (grace_epochs %u, reduction %u)", j->train.select, j->search.grace_epochs,
                             j->search.reduction);
    return duplicate("");
}
