/* SPDX-License-Identifier: Apache-2.0 */
/* How a run's status is told, to people and to programs. */
#include "coordinator/status/status.h"

#include "common/base/buffer.h"
#include "common/base/clock.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEATHS_SHOWN 5
#define QUIET 60.0 /* seconds without a step that are worth a word */

/* By exit code: how a run ended. */
static const struct {
    int code;
    const char *word;
} endings[] = {{0, "done"}, {75, "stopped"}};

const char *status_word(const struct status *s)
{
    static const char *const words[] = {
        [RUN_UNKNOWN] = "unknown", [RUN_RUNNING] = "running", [RUN_ENDED] = "failed", [RUN_DEAD] = "dead"};
    for (size_t i = 0; s->state == RUN_ENDED && i < sizeof endings / sizeof *endings; i++)
        if (s->exit_code == endings[i].code)
            return endings[i].word;
    return words[s->state];
}

static const char *text_of(const struct json *event, const char *key)
{
    const char *text = json_string(json_get(event, key));
    return text ? text : "?";
}

/* ---- for people ---- */

static void add_number(struct buffer *b, const char *format, double value)
{
    if (!isnan(value))
        buffer_printf(b, format, value);
}

static void add_duration(struct buffer *b, const char *before, double seconds)
{
    char text[48];
    if (isnan(seconds))
        return;
    clock_duration(text, sizeof text, seconds);
    buffer_printf(b, "%s%s", before, text);
}

static void add_run(struct buffer *b, const struct status *s)
{
    buffer_printf(b, "run: %s", status_word(s));
    if (s->host)
        buffer_printf(b, "; coordinator on host %s, process %.0f, started %s", s->host, s->pid, s->since);
    if (s->state == RUN_DEAD)
        buffer_text(b, "; its process is gone: run the same command again to resume");
    if (s->why)
        buffer_printf(b, "; %s", s->why);
    add_number(b, "; metrics at http://127.0.0.1:%.0f/metrics", s->metrics_port);
    buffer_text(b, "\nstages done:");
    for (size_t i = 0; i < s->stage_count; i++)
        buffer_printf(b, " %s", text_of(s->stages[i], "stage"));
    buffer_text(b, s->stage_count ? "\n" : " none yet\n");
}

static size_t live_groups(const struct status *s)
{
    size_t live = 0;
    for (size_t i = 0; i < s->group_count; i++)
        live += !s->groups[i].gone;
    return live;
}

static void add_groups(struct buffer *b, const struct status *s)
{
    size_t live = live_groups(s);
    if (live)
        buffer_printf(b, "groups: %zu\n", live);
    for (size_t i = 0; i < s->group_count; i++) {
        const struct status_group *g = &s->groups[i];
        if (!g->gone)
            buffer_printf(b, "  %-16s %s  host %s, process %.0f, %.0f x %.0f threads, %s\n", g->token,
                          g->trial ? g->trial : "idle", g->host ? g->host : "?", g->pid, g->ranks, g->threads,
                          g->device ? g->device : "?");
    }
}

static void add_counts(struct buffer *b, const struct status *s)
{
    size_t all = 0, said = 0;
    for (int i = 0; i < TRIAL_STATES; i++)
        all += s->in_state[i];
    buffer_printf(b, "%zu", all);
    for (int i = 0; i < TRIAL_STATES; i++)
        if (s->in_state[i])
            buffer_printf(b, "%s%zu %s", said++ ? ", " : ": ", s->in_state[i], trial_state_names[i]);
}

static void add_trial(struct buffer *b, const struct status_trial *t)
{
    buffer_printf(b, "  %-32s %-8s", t->key, trial_state_names[t->state]);
    if (t->why) {
        buffer_printf(b, " %s\n", t->why);
        return;
    }
    if (t->state == TRIAL_DONE) {
        if (t->best_epoch > 0) /* a score has none */
            add_number(b, " best epoch %.0f", t->best_epoch);
    } else {
        add_number(b, " epoch %.0f", t->epoch);
        add_number(b, isnan(t->epoch) ? " %.0f epochs" : " of %.0f", t->epochs);
        add_number(b, "  step %.0f", t->step);
        add_number(b, isnan(t->step) ? "  %.0f steps" : " of %.0f", t->steps);
        add_number(b, "  loss %.4f", t->loss);
        add_number(b, "  %.0f tokens/s", t->tokens_per_second);
        add_number(b, " (%.0f %% of peak)", 100 * t->peak_share);
        add_duration(b, "  ETA ", t->eta);
        if (t->attempt > 1)
            add_number(b, "  attempt %.0f", t->attempt);
        if (t->quiet > QUIET)
            add_duration(b, "  no step for ", t->quiet);
    }
    add_number(b, "  validation loss %.4f", t->validation_loss);
    add_number(b, "  F1 %.4f", t->f1);
    add_number(b, "  %.1f s", t->seconds);
    buffer_text(b, "\n");
}

/* Those under way first: where lines are few, they are what is wanted. */
static void add_trials(struct buffer *b, const struct status *s)
{
    static const enum trial_state order[TRIAL_STATES] = {TRIAL_RUNNING, TRIAL_FAILED, TRIAL_DONE, TRIAL_PRUNED, TRIAL_QUEUED};
    buffer_text(b, "trials: ");
    add_counts(b, s);
    add_duration(b, "; ETA ", s->eta);
    buffer_text(b, "\n");
    for (int o = 0; o < TRIAL_STATES; o++)
        for (size_t i = 0; i < s->trial_count; i++)
            if (s->trials[i].state == order[o])
                add_trial(b, &s->trials[i]);
}

static void add_death(struct buffer *b, const struct json *death)
{
    const struct json *rank = json_get(death, "rank"), *step = json_get(death, "step");
    buffer_printf(b, "  %s  group %s: host %s", text_of(death, "time"), text_of(death, "group"), text_of(death, "host"));
    if (json_type(rank) == JSON_NUMBER)
        buffer_printf(b, ", rank %.0f", json_number(rank));
    if (json_type(step) == JSON_NUMBER)
        buffer_printf(b, ", step %.0f", json_number(step));
    if (json_string(json_get(death, "operation")))
        buffer_printf(b, ", %s", text_of(death, "operation"));
    if (json_string(json_get(death, "trial")))
        buffer_printf(b, ", trial %s", text_of(death, "trial"));
    buffer_printf(b, ": %s\n", text_of(death, "why"));
}

static void add_deaths(struct buffer *b, const struct status *s)
{
    size_t first = s->death_count > DEATHS_SHOWN ? s->death_count - DEATHS_SHOWN : 0;
    if (s->death_count)
        buffer_printf(b, "deaths: %zu%s\n", s->death_count, first ? ", most recent:" : "");
    for (size_t i = first; i < s->death_count; i++)
        add_death(b, s->deaths[i]);
}

static const struct json *last_event(const struct status *s)
{
    return json_at(s->events, json_size(s->events) - 1);
}

static void add_last(struct buffer *b, const struct status *s)
{
    buffer_printf(b, "last event: %s at %s\n", text_of(last_event(s), "event"), text_of(last_event(s), "time"));
}

/* Cuts behind `rows` lines, keeping the last line of all. */
static void cut(struct buffer *b, size_t rows)
{
    char *at = b->data, *end = b->data + b->size;
    for (size_t i = 0; at && i + 2 < rows; i++)
        at = (at = memchr(at, '\n', (size_t)(end - at))) ? at + 1 : NULL;
    if (!at || at == end)
        return;
    char *last = end - 1;
    while (last > at && last[-1] != '\n')
        last--;
    if (last == at)
        return;
    char *kept = strndup(last, (size_t)(end - last));
    b->size = (size_t)(at - b->data);
    buffer_printf(b, "  ...\n%s", kept ? kept : "");
    free(kept);
}

char *status_text(const struct status *s, size_t rows)
{
    struct buffer b = {0};
    add_run(&b, s);
    add_groups(&b, s);
    add_deaths(&b, s);
    add_trials(&b, s);
    add_last(&b, s);
    if (rows)
        cut(&b, rows);
    return b.data;
}

char *status_line(const struct status *s)
{
    struct buffer b = {0};
    buffer_printf(&b, "%s; groups %zu; trials ", status_word(s), live_groups(s));
    add_counts(&b, s);
    add_duration(&b, "; ETA ", s->eta);
    for (size_t i = 0, said = 0; i < s->trial_count && said < 4; i++) {
        const struct status_trial *t = &s->trials[i];
        if (t->state != TRIAL_RUNNING)
            continue;
        said++;
        buffer_printf(&b, "; %s", t->key);
        add_number(&b, " step %.0f", t->step);
        if (!isnan(t->step))
            add_number(&b, " of %.0f", t->steps);
        add_number(&b, " loss %.4f", t->loss);
    }
    if (s->death_count)
        buffer_printf(&b, "; deaths %zu", s->death_count);
    if (s->why)
        buffer_printf(&b, "; %s", s->why);
    buffer_text(&b, "\n");
    return b.data;
}

/* ---- for programs ---- */

static struct json *json_of_trial(const struct status_trial *t)
{
#define NUMBER(name)                                                                                                             \
    {                                                                                                                            \
#name, offsetof(struct status_trial, name)                                                                               \
    }
    static const struct {
        const char *key;
        size_t offset;
    } numbers[] = {NUMBER(attempt),
                   NUMBER(steps),
                   NUMBER(epochs),
                   NUMBER(step),
                   NUMBER(epoch),
                   NUMBER(loss),
                   NUMBER(tokens_per_second),
                   NUMBER(peak_share),
                   NUMBER(examples_per_second),
                   NUMBER(quiet),
                   NUMBER(validation_loss),
                   NUMBER(f1),
                   NUMBER(best_epoch),
                   NUMBER(epochs_done),
                   NUMBER(seconds),
                   NUMBER(eta)};
#undef NUMBER
    struct json *j = json_object();
    json_set_string(j, "state", trial_state_names[t->state]);
    json_set_string(j, "group", t->group);
    json_set_string(j, "why", t->why);
    json_set_string(j, "time", t->time);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        double value;
        memcpy(&value, (const char *)t + numbers[i].offset, sizeof value);
        json_set_number(j, numbers[i].key, value);
    }
    return j;
}

static struct json *json_of_group(const struct status_group *g)
{
    struct json *j = json_object();
    json_set_string(j, "group", g->token);
    json_set_string(j, "host", g->host);
    json_set_number(j, "pid", g->pid);
    json_set_number(j, "ranks", g->ranks);
    json_set_number(j, "threads", g->threads);
    json_set_string(j, "device", g->device);
    json_set_string(j, "trial", g->trial);
    json_set_boolean(j, "gone", g->gone);
    return j;
}

static struct json *json_of_coordinator(const struct status *s)
{
    struct json *j = json_object();
    json_set_string(j, "host", s->host);
    json_set_number(j, "pid", s->pid);
    json_set_string(j, "since", s->since);
    json_set_number(j, "exit_code", s->exit_code);
    json_set_string(j, "why", s->why);
    json_set_number(j, "metrics_port", s->metrics_port);
    return j;
}

struct json *status_json(const struct status *s)
{
    struct json *j = json_object();
    json_set_string(j, "state", status_word(s));
    json_set(j, "coordinator", json_of_coordinator(s));
    struct json *stages = json_set(j, "stages", json_object());
    for (size_t i = 0; i < s->stage_count; i++)
        json_set_string(stages, text_of(s->stages[i], "stage"), text_of(s->stages[i], "time"));
    struct json *counts = json_set(j, "counts", json_object());
    for (int i = 0; i < TRIAL_STATES; i++)
        json_set_number(counts, trial_state_names[i], (double)s->in_state[i]);
    json_set_number(j, "eta", s->eta);
    struct json *groups = json_set(j, "groups", json_array()), *trials = json_set(j, "trials", json_object()),
                *deaths = json_set(j, "deaths", json_array());
    for (size_t i = 0; i < s->group_count; i++)
        json_append(groups, json_of_group(&s->groups[i]));
    for (size_t i = 0; i < s->trial_count; i++)
        json_set(trials, s->trials[i].key, json_of_trial(&s->trials[i]));
    for (size_t i = 0; i < s->death_count; i++)
        json_append(deaths, json_copy(s->deaths[i]));
    struct json *last = json_set(j, "last", json_object());
    json_set_string(last, "event", text_of(last_event(s), "event"));
    json_set_string(last, "time", text_of(last_event(s), "time"));
    return j;
}
