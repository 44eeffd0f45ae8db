/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as events.jsonl: refused with one line, or replayed; what was replayed stays as it was when an event is appended and
 * the log is opened once more; and status, which reads without the lock, takes what the coordinator takes. */
#include "common/base/file.h"
#include "coordinator/events/event_log.h"
#include "coordinator/status/status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char directory[64], path[96];

static void set_up(void)
{
    struct error e;
    snprintf(directory, sizeof directory, "%s/fuzz_events.%d", directory_exists("/dev/shm") ? "/dev/shm" : "/tmp", (int)getpid());
    snprintf(path, sizeof path, "%s/events.jsonl", directory);
    if (directory_create(directory, &e))
        abort();
    stderr = fopen("/dev/null", "w"); /* a warning for each cut line; libFuzzer keeps its own stream */
}

static void write_bytes(const uint8_t *data, size_t size)
{
    FILE *f = fopen(path, "w");
    if (!f || fwrite(data, 1, size, f) != size || fclose(f))
        abort();
}

static void check_refusal(const struct error *e)
{
    if (e->kind != ERROR_FAILED || !e->message[0] || strchr(e->message, '\n'))
        abort();
}

/* The events as one text; caller frees. */
static char *print_log(const struct event_log *l)
{
    struct json *all = json_array();
    for (size_t i = 0; i < event_log_count(l); i++)
        json_append(all, json_copy(event_log_at(l, i)));
    char *text = json_print(all, false);
    json_destroy(&all);
    return text;
}

static void check_append(void)
{
    struct event_log *l;
    struct error e = {0};
    if (event_log_open(&l, directory, &e))
        abort(); /* it was opened before */
    size_t count = event_log_count(l);
    char *before = print_log(l);
    if (event_log_append(l, "lease", NULL, &e))
        abort();
    event_log_close(&l);
    if (event_log_open(&l, directory, &e) || event_log_count(l) != count + 1)
        abort();
    char *after = print_log(l);
    if (strncmp(before, after, strlen(before) - 1))
        abort();
    event_log_close(&l);
    free(before);
    free(after);
}

static void check_status(size_t events)
{
    struct status s;
    struct error e = {0};
    if (status_read(&s, directory, &e)) {
        if (events || e.kind != ERROR_USAGE)
            abort();
        return;
    }
    char *text = status_text(&s, 20), *line = status_line(&s);
    struct json *j = status_json(&s);
    json_destroy(&j);
    free(text);
    free(line);
    status_free(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct event_log *l;
    struct error e = {0};
    if (!path[0])
        set_up();
    write_bytes(data, size);
    if (event_log_open(&l, directory, &e)) {
        check_refusal(&e);
        return 0;
    }
    size_t events = event_log_count(l);
    event_log_close(&l);
    check_status(events);
    check_append();
    return 0;
}
