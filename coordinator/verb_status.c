/* muster status: how far a run is, from its events and the last line of each trial's metrics; takes no lock and changes nothing.
 */
#include "common/base/file.h"
#include "common/base/memory.h"
#include "coordinator/event_log.h"
#include "coordinator/verbs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct option status_options[] = {
    {"json", 0, NULL, NULL, "print it as JSON"},
    {NULL},
};

static struct json *find_trial(struct json *trials, const char *key)
{
    struct json *known = NULL;
    if (!json_get(trials, key)) {
        known = json_set(trials, key, json_object());
        json_set_text(known, "trial", key);
    }
    return known;
}

/* Keys that the events of a trial bring, and what they say of its state. */
static const struct {
    const char *event, *state, *inside /* the object that holds the keys; NULL: the event */, *keys[4];
} trial_events[] = {
    {"trial_started", "waiting", "options", {"epochs"}},
    {"lease", "at work", NULL, {"attempt"}},
    {"epoch", "at work", "metrics", {"epoch", "validation_loss", "f1"}},
    {"trial_done", "done", NULL, {"best_epoch", "epochs_done", "seconds", "tokens"}},
    {"trial_failed", "failed", NULL, {"why"}},
};

/* trials: key -> what is known of it. An event later in the log overrides. */
static void take_trial_event(struct json *trials, const struct json *event)
{
    const char *name = json_text(json_get(event, "event")), *key = json_text(json_get(event, "trial"));
    for (size_t i = 0; key && i < sizeof trial_events / sizeof trial_events[0]; i++) {
        if (strcmp(name, trial_events[i].event) != 0)
            continue;
        find_trial(trials, key);
        struct json *known = json_copy(json_get(trials, key));
        json_set_text(known, "state", trial_events[i].state);
        const struct json *from = trial_events[i].inside ? json_get(event, trial_events[i].inside) : event;
        for (size_t k = 0; k < 4 && trial_events[i].keys[k]; k++) {
            const struct json *value = json_get(from, trial_events[i].keys[k]);
            if (value)
                json_set(known, trial_events[i].keys[k], json_copy(value));
        }
        json_set_text(known, "time", json_text(json_get(event, "time")));
        json_set(trials, key, known);
    }
}

/* The last whole line of metrics.jsonl: step, loss, tokens/s of a trial under way. Caller destroys; NULL if there is none. */
static struct json *last_metrics(const char *folder, const char *key)
{
    char *path = format_text("%s/trials/%s/metrics.jsonl", folder, key), tail[4096 + 1];
    FILE *f = fopen(path, "r");
    struct json *metrics = NULL;
    struct error ignored;
    free(path);
    if (!f)
        return NULL;
    if (fseek(f, -(long)(sizeof tail - 1), SEEK_END) != 0)
        rewind(f);
    size_t size = fread(tail, 1, sizeof tail - 1, f);
    fclose(f);
    while (size > 0 && tail[size - 1] != '\n')
        size--;
    if (size == 0)
        return NULL;
    tail[size - 1] = 0;
    char *line = strrchr(tail, '\n');
    line = line ? line + 1 : tail;
    return json_parse(&metrics, line, strlen(line), "metrics.jsonl", &ignored) == 0 ? metrics : NULL;
}

static void add_progress(struct json *trials, const char *folder)
{
    static const char *const keys[] = {"step", "epoch", "loss", "tokens_per_second", "gemm_share"};
    for (size_t i = 0; i < json_size(trials); i++) {
        struct json *known = json_copy(json_at(trials, i));
        char *key = duplicate(json_key(trials, i));
        const char *state = json_text(json_get(known, "state"));
        struct json *metrics = state && strcmp(state, "at work") == 0 ? last_metrics(folder, key) : NULL;
        for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++)
            if (json_get(metrics, keys[k]))
                json_set(known, keys[k], json_copy(json_get(metrics, keys[k])));
        json_set(trials, key, known);
        json_destroy(&metrics);
        free(key);
    }
}

static struct json *read_status(const struct json *events, const char *folder)
{
    struct json *status = json_object(), *stages = json_set(status, "stages", json_object());
    struct json *trials = json_set(status, "trials", json_object());
    for (size_t i = 0; i < json_size(events); i++) {
        const struct json *event = json_at(events, i);
        const char *name = json_text(json_get(event, "event")), *stage = json_text(json_get(event, "stage"));
        if (!name)
            continue;
        if (strcmp(name, "stage_done") == 0 && stage)
            json_set_text(stages, stage, json_text(json_get(event, "time")));
        take_trial_event(trials, event);
    }
    add_progress(trials, folder);
    const struct json *last = json_at(events, json_size(events) - 1);
    struct json *end = json_set(status, "last", json_object());
    json_set_text(end, "event", json_text(json_get(last, "event")));
    json_set_text(end, "time", json_text(json_get(last, "time")));
    return status;
}

static void print_number(const struct json *trial, const char *key, const char *format)
{
    const struct json *value = json_get(trial, key);
    if (json_type(value) == JSON_NUMBER)
        printf(format, json_number(value));
}

static void print_share(const struct json *trial)
{
    const struct json *share = json_get(trial, "gemm_share");
    if (json_type(share) == JSON_NUMBER)
        printf(" (%.0f %% of the GEMM rate)", 100 * json_number(share));
}

static void print_trial(const char *key, const struct json *trial)
{
    const char *state = json_text(json_get(trial, "state"));
    printf("  %-32s %-8s", key, state ? state : "");
    if (json_number(json_get(trial, "best_epoch")) > 0) /* a score has none */
        print_number(trial, "best_epoch", " best epoch %.0f");
    if (json_get(trial, "why")) {
        printf(" %s\n", json_text(json_get(trial, "why")));
        return;
    }
    if (!json_get(trial, "best_epoch")) {
        print_number(trial, "epoch", " epoch %.0f");
        print_number(trial, "epochs", " of %.0f");
        print_number(trial, "step", "  step %.0f");
        print_number(trial, "loss", "  loss %.4f");
        print_number(trial, "tokens_per_second", "  %.0f tokens/s");
        print_share(trial);
    }
    print_number(trial, "validation_loss", "  validation loss %.4f");
    print_number(trial, "f1", "  F1 %.4f");
    print_number(trial, "seconds", "  %.1f s");
    printf("\n");
}

static void print_status(const struct json *status)
{
    const struct json *stages = json_get(status, "stages"), *trials = json_get(status, "trials"),
                      *last = json_get(status, "last");
    printf("stages done:");
    for (size_t i = 0; i < json_size(stages); i++)
        printf(" %s", json_key(stages, i));
    printf("%s\ntrials:%s\n", json_size(stages) ? "" : " none yet", json_size(trials) ? "" : " none yet");
    for (size_t i = 0; i < json_size(trials); i++)
        print_trial(json_key(trials, i), json_at(trials, i));
    printf("last event: %s at %s\n", json_text(json_get(last, "event")), json_text(json_get(last, "time")));
}

int verb_status(const struct arguments *a, struct error *e)
{
    const char *folder = a->positional[0];
    struct json *events = NULL;
    if (!folder_exists(folder))
        return error_set(e, ERROR_USAGE, "%s: no such run folder", folder);
    if (event_log_read(&events, folder, e) != 0)
        return -1;
    if (json_size(events) == 0) {
        json_destroy(&events);
        return error_set(e, ERROR_USAGE, "%s: holds no run (no event in events.jsonl); name the \"out\" folder of a job", folder);
    }
    struct json *status = read_status(events, folder);
    char *text = argument_given(a, "json") ? json_print(status, true) : NULL;
    if (text)
        printf("%s\n", text);
    else
        print_status(status);
    free(text);
    json_destroy(&status);
    json_destroy(&events);
    return 0;
}
