/* SPDX-License-Identifier: Apache-2.0 */
/* Between events.jsonl and the scheduler. */
#include "coordinator/sweep/scheduler_replay.h"

#include "common/base/memory.h"
#include "common/base/table.h"
#include "coordinator/events/event_log.h"
#include "coordinator/job/scheduler.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct scheduler_replay {
    const struct trials *trials;
    const struct run_place *place;
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

/* own: by trial, whether the last one begun under its key was made from what it is made from now. */
static void replay(struct scheduler_replay *s, const struct table *numbers, bool *own, const struct json *event)
{
    const char *name = json_string(json_get(event, "event")), *identity = json_string(json_get(event, "identity")),
               *key = json_string(json_get(event, "trial"));
    uint32_t i = key ? table_find(numbers, key) : TABLE_ABSENT;
    if (i == TABLE_ABSENT)
        return;
    if (strcmp(name, "trial_started") == 0) {
        own[i] = identity && strcmp(identity, s->trials->list[i].identity) == 0;
        scheduler_forget(s->scheduler, i);
    } else if (own[i] && strcmp(name, "epoch") == 0) {
        scheduler_report(s->scheduler, i, (uint32_t)json_number(json_get(event, "epoch")),
                         metric_of(json_get(event, "metrics"), s->place->job->train.select));
    } else if (own[i] && strcmp(name, "trial_finished") == 0) {
        scheduler_complete(s->scheduler, i);
    }
}

/* By their keys, of which each trial has its own. */
static struct table *number_trials(const struct trials *t)
{
    struct table *numbers;
    table_create(&numbers);
    for (size_t i = 0; i < t->count; i++)
        table_add(numbers, t->list[i].key);
    return numbers;
}

void scheduler_replay_create(struct scheduler_replay **ret, const struct trials *t, const struct run_place *place)
{
    const struct job *j = place->job;
    struct scheduler_options o = {.kind = j->search.scheduler,
                                  .grace = j->search.grace_epochs,
                                  .reduction = j->search.reduction,
                                  .startup = j->search.startup_trials,
                                  .metric = j->train.select,
                                  .negated = strcmp(j->train.select, "loss") == 0};
    struct scheduler_replay *s = allocate(1, sizeof *s);
    s->trials = t;
    s->place = place;
    scheduler_create(&s->scheduler, &o, t->count);
    bool *own = allocate(t->count, sizeof *own);
    struct table *numbers = number_trials(t);
    for (size_t i = 0; o.kind != SCHEDULER_NONE && i < event_log_count(place->log); i++)
        replay(s, numbers, own, event_log_at(place->log, i));
    table_destroy(&numbers);
    free(own);
    *ret = s;
}

void scheduler_replay_destroy(struct scheduler_replay **s)
{
    if (!*s)
        return;
    scheduler_destroy(&(*s)->scheduler);
    free(*s);
    *s = NULL;
}

/* The event of an epoch of the trial that is under way or has just ended; NULL: not decided yet. */
static const struct json *epoch_event(const struct event_log *log, const struct trial_run *t, uint32_t epoch)
{
    for (size_t i = event_log_count(log); i-- > 0;) {
        const struct json *event = event_log_at(log, i);
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

static struct json *decide(const struct scheduler_replay *s, size_t i, uint32_t epoch)
{
    char why[SCHEDULER_WORDS];
    enum scheduler_decision made = scheduler_decide(why, s->scheduler, i, epoch);
    if (made == SCHEDULER_UNDECIDED)
        return NULL;
    struct json *decision = json_object();
    json_set_string(decision, "scheduler", scheduler_names[s->place->job->search.scheduler]);
    json_set_boolean(decision, "stop", made == SCHEDULER_STOP);
    json_set_string(decision, "why", why);
    return decision;
}

void scheduler_replay_epoch(struct dispatch_decision *v, struct scheduler_replay *s, size_t i, uint32_t epoch)
{
    const struct job *j = s->place->job;
    const struct trial_run *t = &s->trials->list[i];
    if (j->search.scheduler == SCHEDULER_NONE)
        return;
    const struct json *before = epoch_event(s->place->log, t, epoch), *decided = json_get(before, "decision");
    scheduler_report(s->scheduler, i, epoch, metric_of(v->metrics, j->train.select));
    if (before)
        v->decision = decided ? json_copy(decided) : NULL;
    else if (!t->baseline && !v->stop && epoch < t->job.train.epochs)
        v->decision = decide(s, i, epoch);
    v->stop |= json_boolean(json_get(v->decision, "stop"));
}

void scheduler_replay_complete(struct scheduler_replay *s, size_t i)
{
    scheduler_complete(s->scheduler, i);
}

char *scheduler_replay_summary(const struct run_place *place, const struct trial_run *t, uint32_t epochs_done)
{
    const struct json *decision = json_get(epoch_event(place->log, t, epochs_done), "decision");
    return json_boolean(json_get(decision, "stop"))
               ? format_string("pruned at epoch %u: %s", epochs_done, json_string(json_get(decision, "why")))
               : NULL;
}

char *scheduler_replay_description(const struct job *j)
{
    if (j->search.scheduler == SCHEDULER_MEDIAN)
        return format_string(", pruned by the median of %s (grace_epochs %u, startup_trials %u)", j->train.select,
                             j->search.grace_epochs, j->search.startup_trials);
    if (j->search.scheduler == SCHEDULER_ASHA)
        return format_string(", pruned by asha on %s (grace_epochs %u, reduction %u)", j->train.select, j->search.grace_epochs,
                             j->search.reduction);
    return duplicate("");
}
