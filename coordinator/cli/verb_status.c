/* SPDX-License-Identifier: Apache-2.0 */
/* muster status: how far a run is, once or until it ends; takes no lock and changes nothing. */
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/stop.h"
#include "coordinator/cli/verbs.h"
#include "coordinator/status/status.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

const struct option status_options[] = {
    {"json", 0, NULL, NULL, "print JSON; with --watch one object per line"},
    {"watch", 'w', NULL, NULL, "repeat until the run ends, then exit with its exit code"},
    {"interval", 'i', "SECONDS", "2", "seconds between updates of --watch"},
    {NULL},
};

static void print_json(const struct status *s, bool pretty)
{
    struct json *j = status_json(s);
    char *text = json_print(j, pretty);
    printf("%s\n", text);
    free(text);
    json_destroy(&j);
}

static int visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* Of a job for several models, a line for each run that has begun. */
static void print_models(const char *directory)
{
    struct dirent **entries;
    struct error ignored;
    char *models = path_join(directory, "models");
    int count = scandir(models, &entries, visible, alphasort);
    for (int i = 0; i < count; i++) {
        struct status s;
        char *path = path_join(models, entries[i]->d_name);
        if (status_read(&s, path, &ignored) == 0) {
            char *line = status_line(&s);
            printf("  %-40s %s", entries[i]->d_name, line);
            free(line);
            status_free(&s);
        }
        free(path);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
    free(models);
}

static int print_once(const char *directory, bool json, struct error *e)
{
    struct status s;
    if (status_read(&s, directory, e))
        return -1;
    char *text = json ? NULL : status_text(&s, 0);
    if (text)
        fputs(text, stdout);
    else
        print_json(&s, true);
    if (text)
        print_models(directory);
    free(text);
    status_free(&s);
    return 0;
}

/* ---- --watch ---- */

struct watch {
    bool json, terminal;
    char *before; /* the line that was printed last */
};

static size_t terminal_rows(void)
{
    struct winsize w;
    return !ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) && w.ws_row > 4 ? w.ws_row : 24;
}

/* From the top left corner, each line's rest cleared, so that nothing flickers; lines do not wrap. */
static void redraw(const struct status *s)
{
    char *text = status_text(s, terminal_rows() - 1);
    printf("\033[?7l\033[H");
    for (const char *line = text, *end; (end = strchr(line, '\n')); line = end + 1)
        printf("%.*s\033[K\n", (int)(end - line), line);
    printf("\033[J\033[?7h");
    free(text);
}

/* A line when there is news; what ticks by itself on a quiet run is none. */
static void print_line(struct watch *w, const struct status *s)
{
    char *line = status_line(s), time[32];
    if (w->before && !strcmp(w->before, line)) {
        free(line);
        return;
    }
    clock_timestamp(time, sizeof time);
    printf("%s %s", time, line);
    free(w->before);
    w->before = line;
}

static void show(struct watch *w, const struct status *s)
{
    if (w->json)
        print_json(s, false);
    else if (w->terminal)
        redraw(s);
    else
        print_line(w, s);
    fflush(stdout);
}

/* Ends as the run did, for scripts that wait for it. */
static int check_exit(const struct status *s, const char *directory, struct error *e)
{
    if (s->state == RUN_DEAD)
        return error_set(e, ERROR_FAILED,
                         "%s: the coordinator (host %s, process %.0f) has disappeared without an end event; run the same command "
                         "again to resume",
                         directory, s->host, s->pid);
    if (s->exit_code == 0)
        return 0;
    return error_set(e, s->exit_code > 0 && s->exit_code < 256 ? (enum error_kind)s->exit_code : ERROR_FAILED,
                     "%s: the run %s: %s", directory, status_word(s), s->why ? s->why : "no reason recorded");
}

static int watch(struct watch *w, const char *directory, double interval, struct error *e)
{
    for (;; clock_sleep(interval)) {
        struct status s;
        if (stop_requested()) /* Ctrl-C is how a person leaves */
            return 0;
        if (status_read(&s, directory, e)) {
            if (e->kind == ERROR_USAGE && directory_exists(directory)) /* a run whose data is being checked has no event yet */
                continue;
            return -1;
        }
        show(w, &s);
        bool ended = s.state == RUN_ENDED || s.state == RUN_DEAD;
        int result = ended ? check_exit(&s, directory, e) : 0;
        status_free(&s);
        if (ended || ferror(stdout)) /* closing the pipe is another way */
            return result;
    }
}

int verb_status(const struct arguments *a, struct error *e)
{
    const char *directory = a->positional[0];
    struct watch w = {.json = argument_given(a, "json"), .terminal = isatty(STDOUT_FILENO)};
    double interval;
    if (argument_number(&interval, a, "interval", 0.1, 3600, e))
        return -1;
    if (!argument_given(a, "watch"))
        return print_once(directory, w.json, e);
    if (w.terminal && !w.json)
        printf("\033[2J");
    int result = watch(&w, directory, interval, e);
    free(w.before);
    return result;
}
