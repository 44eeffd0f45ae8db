/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/status/status.h"

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/machine.h"
#include "common/base/memory.h"
#include "coordinator/events/event_log.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TAIL 4096 /* bytes of metrics.jsonl; a line is a few hundred */

const char *const trial_state_names[TRIAL_STATES] = {"queued", "running", "done", "failed", "pruned"};

static double number_of(const struct json *object, const char *key)
{
    const struct json *value = json_get(object, key);
    return json_type(value) == JSON_NUMBER ? json_number(value) : NAN;
}

/* ---- trials ---- */

static struct status_trial new_trial(const char *key)
{
    return (struct status_trial){.key = key,
                                 .attempt = NAN,
                                 .batch = NAN,
                                 .steps = NAN,
                                 .epochs = NAN,
                                 .step = NAN,
                                 .epoch = NAN,
                                 .loss = NAN,
                                 .tokens_per_second = NAN,
                                 .peak_share = NAN,
                                 .examples_per_second = NAN,
                                 .quiet = NAN,
                                 .validation_loss = NAN,
                                 .f1 = NAN,
                                 .best_epoch = NAN,
                                 .epochs_done = NAN,
                                 .seconds = NAN,
                                 .eta = NAN};
}

static struct status_trial *trial_of(struct status *s, const char *key)
{
    for (size_t i = s->trial_count; i-- > 0;) /* the one that is spoken of came late */
        if (!strcmp(s->trials[i].key, key))
            return &s->trials[i];
    s->trials = grow(s->trials, &s->trial_capacity, s->trial_count + 1, sizeof *s->trials);
    s->trials[s->trial_count] = new_trial(key);
    return &s->trials[s->trial_count++];
}

/* What the events of a trial say of its state, and the keys that they bring. */
static const struct {
    const char *event;
    enum trial_state state;
    const char *inside; /* the object that holds the keys; NULL: the event */
    struct {
        const char *key;
        size_t offset;
    } keys[4];
} trial_events[] = {
#define KEY(name)                                                                                                                \
    {                                                                                                                            \
#name, offsetof(struct status_trial, name)                                                                               \
    }
    {"trial_started", TRIAL_QUEUED, "options", {KEY(epochs), KEY(batch)}},
    {"lease", TRIAL_RUNNING, NULL, {KEY(attempt)}},
    {"epoch",
     TRIAL_RUNNING,
     "metrics",
     {KEY(epoch), KEY(validation_loss), {"micro_f1", offsetof(struct status_trial, f1)}, KEY(f1)}},
    {"trial_done", TRIAL_DONE, NULL, {KEY(best_epoch), KEY(epochs_done), KEY(seconds)}},
    {"trial_failed", TRIAL_FAILED, NULL, {{0}}},
    {"trial_pruned", TRIAL_PRUNED, NULL, {{0}}},
#undef KEY
};

static void take_trial_event(struct status *s, const struct json *event, const char *name)
{
    const char *key = json_string(json_get(event, "trial"));
    for (size_t i = 0; key && i < sizeof trial_events / sizeof *trial_events; i++) {
        if (strcmp(name, trial_events[i].event))
            continue;
        struct status_trial *t = trial_of(s, key);
        if (trial_events[i].state == TRIAL_QUEUED) { /* made from other things than one of this name before */
            *t = new_trial(key);
            t->steps = number_of(event, "steps");
        }
        const struct json *from = trial_events[i].inside ? json_get(event, trial_events[i].inside) : event;
        for (size_t k = 0; k < 4 && trial_events[i].keys[k].key; k++) {
            double value = number_of(from, trial_events[i].keys[k].key);
            if (!isnan(value))
                memcpy((char *)t + trial_events[i].keys[k].offset, &value, sizeof value);
        }
        t->state = trial_events[i].state;
        t->time = json_string(json_get(event, "time"));
        t->why = json_string(json_get(event, "why"));
    }
}

/* ---- groups ---- */

static struct status_group *group_of(struct status *s, const struct json *event)
{
    const char *token = json_string(json_get(event, "group"));
    for (size_t i = s->group_count; token && i-- > 0;)
        if (!strcmp(s->groups[i].token, token))
            return &s->groups[i];
    if (!token)
        return NULL;
    s->groups = grow(s->groups, &s->group_capacity, s->group_count + 1, sizeof *s->groups);
    s->groups[s->group_count] = (struct status_group){.token = token, .pid = NAN, .ranks = NAN, .threads = NAN};
    return &s->groups[s->group_count++];
}

static void on_group_started(struct status *s, const struct json *event)
{
    struct status_group *g = group_of(s, event);
    if (!g)
        return;
    g->host = json_string(json_get(event, "host"));
    g->device = json_string(json_get(event, "device"));
    g->pid = number_of(event, "pid");
    g->ranks = number_of(event, "ranks");
    g->threads = number_of(event, "threads");
}

static void on_lease(struct status *s, const struct json *event)
{
    struct status_group *g = group_of(s, event);
    const char *key = json_string(json_get(event, "trial"));
    if (!g || !key)
        return;
    g->trial = key;
    trial_of(s, key)->group = g->token;
}

static void free_group_of(struct status *s, const struct json *event)
{
    const char *key = json_string(json_get(event, "trial"));
    for (size_t i = 0; key && i < s->group_count; i++)
        if (s->groups[i].trial && !strcmp(s->groups[i].trial, key))
            s->groups[i].trial = NULL;
}

/* A trial whose group is no more waits for another. */
static void lose_group(struct status *s, struct status_group *g)
{
    struct status_trial *t = g->trial ? trial_of(s, g->trial) : NULL;
    if (t && t->state == TRIAL_RUNNING)
        t->state = TRIAL_QUEUED;
    g->trial = NULL;
    g->gone = true;
}

static void on_group_died(struct status *s, const struct json *event)
{
    struct status_group *g = group_of(s, event);
    if (g)
        lose_group(s, g);
    s->deaths = grow(s->deaths, &s->death_capacity, s->death_count + 1, sizeof *s->deaths);
    s->deaths[s->death_count++] = event;
}

/* ---- the run ---- */

static void lose_all_groups(struct status *s)
{
    for (size_t i = 0; i < s->group_count; i++)
        lose_group(s, &s->groups[i]);
    for (size_t i = 0; i < s->trial_count; i++)
        if (s->trials[i].state == TRIAL_RUNNING)
            s->trials[i].state = TRIAL_QUEUED;
}

static void on_run_started(struct status *s, const struct json *event)
{
    lose_all_groups(s);
    s->state = RUN_RUNNING;
    s->host = json_string(json_get(event, "host"));
    s->since = json_string(json_get(event, "time"));
    s->pid = number_of(event, "pid");
    s->pid_namespace = json_string(json_get(event, "pid_namespace"));
    s->why = NULL;
    s->exit_code = s->metrics_port = NAN;
}

static void on_run_ended(struct status *s, const struct json *event)
{
    lose_all_groups(s);
    s->state = RUN_ENDED;
    s->exit_code = number_of(event, "exit_code");
    s->why = json_string(json_get(event, "why"));
    s->metrics_port = NAN;
}

static void on_metrics(struct status *s, const struct json *event)
{
    s->metrics_port = number_of(event, "port");
}

static void on_stage_done(struct status *s, const struct json *event)
{
    const char *stage = json_string(json_get(event, "stage"));
    size_t i = 0;
    while (stage && i < s->stage_count && strcmp(json_string(json_get(s->stages[i], "stage")), stage))
        i++;
    if (!stage)
        return;
    if (i == s->stage_count)
        s->stages = grow(s->stages, &s->stage_capacity, ++s->stage_count, sizeof *s->stages);
    s->stages[i] = event;
}

static const struct {
    const char *event;
    void (*take)(struct status *s, const struct json *event);
} takers[] = {
    {"run_started", on_run_started},     {"run_ended", on_run_ended},     {"stage_done", on_stage_done},
    {"group_started", on_group_started}, {"group_died", on_group_died},   {"lease", on_lease},
    {"trial_done", free_group_of},       {"trial_failed", free_group_of}, {"trial_pruned", free_group_of},
    {"metrics_served", on_metrics},
};

static void take_event(struct status *s, const struct json *event)
{
    const char *name = json_string(json_get(event, "event"));
    take_trial_event(s, event, name);
    for (size_t i = 0; i < sizeof takers / sizeof *takers; i++)
        if (!strcmp(name, takers[i].event))
            takers[i].take(s, event);
}

/* Only the coordinator's own host can tell. */
static void look_for_process(struct status *s)
{
    char host[MACHINE_NAME], pids[MACHINE_PIDS];
    machine_name(host, sizeof host);
    machine_pids(pids);
    if (s->pid_namespace && strcmp(s->pid_namespace, pids)) /* a container of the same host name, or before a reboot */
        return;
    if (s->state != RUN_RUNNING || !s->host || strcmp(s->host, host) || !(s->pid > 0))
        return;
    if (kill((pid_t)s->pid, 0) && errno == ESRCH) {
        s->state = RUN_DEAD;
        lose_all_groups(s);
    }
}

/* ---- the tails of metrics.jsonl ---- */

/* Bytes of the end of a file, up to its last line break. 0: none. */
static size_t read_tail(char tail[TAIL], double *quiet, const char *path)
{
    FILE *f = fopen(path, "r");
    struct stat facts;
    if (!f)
        return 0;
    if (fseek(f, -(long)TAIL, SEEK_END))
        rewind(f);
    size_t size = fread(tail, 1, TAIL, f);
    if (!fstat(fileno(f), &facts))
        *quiet = fmax(0, clock_wall() - (double)facts.st_mtime); /* clocks of hosts may differ: never below 0 */
    fclose(f);
    while (size > 0 && tail[size - 1] != '\n')
        size--;
    return size;
}

/* A step's line; false for an epoch's. */
static bool take_line(struct status_trial *t, const char *line, size_t size)
{
    struct json *j;
    struct error ignored;
    if (json_parse(&j, line, size, "metrics.jsonl", &ignored))
        return false;
    bool of_step = json_get(j, "loss") != NULL;
    t->step = number_of(j, "step");
    t->epoch = number_of(j, "epoch");
    if (of_step) {
        t->loss = number_of(j, "loss");
        t->tokens_per_second = number_of(j, "tokens_per_second");
        t->examples_per_second = number_of(j, "examples_per_second");
        t->peak_share = number_of(j, "peak_share");
    }
    json_destroy(&j);
    return of_step;
}

static void read_metrics(struct status_trial *t, const char *directory)
{
    char tail[TAIL], *path = format_string("%s/trials/%s/metrics.jsonl", directory, t->key);
    size_t size = read_tail(tail, &t->quiet, path);
    free(path);
    struct status_trial last = *t;
    bool found = false;
    while (size > 0 && !found) { /* backwards, past the line of an epoch */
        const char *before = size > 1 ? memrchr(tail, '\n', size - 1) : NULL;
        size_t start = before ? (size_t)(before - tail) + 1 : 0;
        found = take_line(t, tail + start, size - 1 - start);
        if (isnan(last.step) && !isnan(t->step))
            last = *t; /* step and epoch are those of the last line, whatever it is */
        size = start;
    }
    t->step = last.step;
    t->epoch = last.epoch;
}

/* ---- time left ---- */

static double examples_left(const struct status_trial *t)
{
    double done = t->state == TRIAL_RUNNING && !isnan(t->step) ? t->step : 0;
    return fmax(0, t->steps - done) * t->batch;
}

/* Running trials say how fast a group is; all that is left is shared out to them, and the slowest of them ends last. NaN as long
 * as a trial's size or every group's speed is unknown. */
static void estimate(struct status *s)
{
    double left = 0, rate = 0, longest = 0;
    for (size_t i = 0; i < s->trial_count; i++) {
        struct status_trial *t = &s->trials[i];
        if (t->state != TRIAL_QUEUED && t->state != TRIAL_RUNNING)
            continue;
        left += examples_left(t);
        if (t->state != TRIAL_RUNNING || !(t->examples_per_second > 0))
            continue;
        rate += t->examples_per_second;
        t->eta = examples_left(t) / t->examples_per_second;
        longest = fmax(longest, t->eta);
    }
    s->eta = rate > 0 ? fmax(left / rate, longest) : NAN;
}

/* ---- the whole ---- */

bool status_is_score(const struct status_trial *t)
{
    return !strncmp(t->key, "score-", strlen("score-"));
}

int status_read(struct status *ret, const char *directory, struct error *e)
{
    struct status s = {.pid = NAN, .exit_code = NAN, .metrics_port = NAN, .eta = NAN};
    if (!directory_exists(directory))
        return error_set(e, ERROR_USAGE, "%s: no such run directory", directory);
    if (event_log_read(&s.events, directory, e))
        return -1;
    if (!json_size(s.events)) {
        status_free(&s);
        return error_set(e, ERROR_USAGE, "%s: holds no run (no event in events.jsonl); name the \"out\" directory of a job",
                         directory);
    }
    for (size_t i = 0; i < json_size(s.events); i++)
        take_event(&s, json_at(s.events, i));
    look_for_process(&s);
    for (size_t i = 0; i < s.trial_count; i++) {
        s.in_state[s.trials[i].state] += !status_is_score(&s.trials[i]);
        if (s.trials[i].state == TRIAL_RUNNING)
            read_metrics(&s.trials[i], directory);
    }
    estimate(&s);
    *ret = s;
    return 0;
}

void status_free(struct status *s)
{
    json_destroy(&s->events);
    free(s->stages);
    free(s->deaths);
    free(s->trials);
    free(s->groups);
    *s = (struct status){0};
}
