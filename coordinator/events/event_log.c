/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/events/event_log.h"

#include "common/base/buffer.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/machine.h"
#include "common/base/memory.h"
#include "coordinator/events/event_index.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define EVENTS_FILE "events.jsonl"
#define LOCK_FILE "lock"

struct event_log {
    char *path;
    int lock, file;
    off_t size;
    struct json **events;
    size_t count, capacity;
    struct event_index *index;
};

/* "host h, process 12" of the coordinator that holds the lock. */
static void read_holder(int lock, char *text, size_t size)
{
    ssize_t length = pread(lock, text, size - 1, 0);
    text[length > 0 ? length : 0] = 0;
    text[strcspn(text, "\n")] = 0;
}

static void write_holder(int lock)
{
    char host[MACHINE_NAME], text[512], time[32];
    machine_name(host, sizeof host);
    clock_timestamp(time, sizeof time);
    int length = snprintf(text, sizeof text, "host %s, process %d, since %s\n", host, (int)getpid(), time);
    if (ftruncate(lock, 0) || pwrite(lock, text, (size_t)length, 0) != length)
        log_debug("cannot write the owner of the run directory's lock");
}

static int lock_file(int lock)
{
    int result;
    do {
        result = flock(lock, LOCK_EX | LOCK_NB);
    } while (result && errno == EINTR); /* of network file systems */
    return result;
}

/* A run directory that cannot be locked is refused: a second coordinator would take the end of a live log for a cut line. */
static int refuse_lock(int lock, int number, const char *directory, struct error *e)
{
    char holder[300];
    if (number != EWOULDBLOCK)
        return error_set(e, ERROR_FAILED,
                         "%s: cannot be locked (%s); mount its file system with locks (NFS: lockd running, or local_lock=flock; "
                         "Lustre: flock), or set \"out\" to a directory on another file system",
                         directory, strerror(number));
    read_holder(lock, holder, sizeof holder);
    return error_set(e, ERROR_USAGE, "%s: is in use by another muster (%s); wait for it, or stop it", directory, holder);
}

static int take_lock(int *ret, const char *directory, struct error *e)
{
    char *path = path_join(directory, LOCK_FILE);
    int lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666), result = 0;
    if (lock < 0)
        result = error_errno(e, errno, "%s: cannot be written", path);
    else if (lock_file(lock))
        result = refuse_lock(lock, errno, directory, e);
    free(path);
    if (result && lock >= 0)
        close(lock);
    if (result)
        return -1;
    write_holder(lock);
    *ret = lock;
    return 0;
}

static int check_event(const struct json *j, struct error *e)
{
    if (json_string(json_get(j, "event")) && json_string(json_get(j, "time")))
        return 0;
    return error_set(e, ERROR_FAILED, "not an event: an object with \"time\" and \"event\" expected");
}

static void keep(struct event_log *l, struct json *event)
{
    l->events = grow(l->events, &l->capacity, l->count + 1, sizeof *l->events);
    event_index_add(l->index, event, l->count);
    l->events[l->count++] = event;
}

static int parse_line(struct event_log *l, const char *text, size_t size, size_t number, struct error *e)
{
    struct json *event;
    char *place = format_string("%s:%zu", l->path, number);
    int result = json_parse(&event, text, size, place, e);
    if (!result && check_event(event, e)) {
        json_destroy(&event);
        result = error_prefix(e, "%s: ", place);
    }
    free(place);
    if (!result) {
        keep(l, event);
        return 0;
    }
    e->kind = ERROR_FAILED;
    return error_set(e, ERROR_FAILED,
                     "%.800s; the event log is damaged: restore it from a copy, or remove the run directory to start over",
                     e->message);
}

/* Every whole line; *good is where the last of them ends. */
static int parse_lines(struct event_log *l, const char *text, size_t size, size_t *good, struct error *e)
{
    size_t at = 0, number = 1;
    for (const char *end; (end = memchr(text + at, '\n', size - at)); number++) {
        if (parse_line(l, text + at, (size_t)(end - text) - at, number, e))
            return -1;
        at = (size_t)(end - text) + 1;
    }
    if (at < size && l->lock >= 0) /* without the lock: perhaps it is being written just now */
        log_warn("%s:%zu: dropping the last line, which is incomplete (a crash while it was written)", l->path, number);
    *good = at;
    return 0;
}

static int load(struct event_log *l, size_t *good, struct error *e)
{
    char *text;
    size_t size;
    *good = 0;
    if (access(l->path, F_OK) && errno == ENOENT)
        return 0;
    if (file_read(&text, &size, l->path, e)) {
        e->kind = ERROR_FAILED;
        return -1;
    }
    int result = parse_lines(l, text, size, good, e);
    free(text);
    return result;
}

static int open_file(struct event_log *l, size_t good, struct error *e)
{
    l->file = open(l->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (l->file < 0)
        return error_errno(e, errno, "%s: cannot be written", l->path);
    struct stat facts;
    if (fstat(l->file, &facts) || (facts.st_size > (off_t)good && ftruncate(l->file, (off_t)good)))
        return error_errno(e, errno, "%s: the incomplete last line cannot be removed", l->path);
    l->size = (off_t)good;
    return 0;
}

static struct event_log *make(const char *directory)
{
    struct event_log *l = allocate(1, sizeof *l);
    l->lock = l->file = -1;
    l->path = path_join(directory, EVENTS_FILE);
    event_index_create(&l->index);
    return l;
}

int event_log_open(struct event_log **ret, const char *directory, struct error *e)
{
    struct event_log *l = make(directory);
    size_t good;
    if (take_lock(&l->lock, directory, e) || load(l, &good, e) || open_file(l, good, e)) {
        event_log_close(&l);
        return -1;
    }
    *ret = l;
    return 0;
}

void event_log_close(struct event_log **log)
{
    struct event_log *l = log ? *log : NULL;
    if (!l)
        return;
    event_index_destroy(&l->index); /* before the events, whose strings it borrows */
    for (size_t i = 0; i < l->count; i++)
        json_destroy(&l->events[i]);
    free(l->events);
    if (l->file >= 0)
        close(l->file);
    if (l->lock >= 0)
        close(l->lock); /* and with it the lock; the file stays: removing it would let two in */
    free(l->path);
    free(l);
    *log = NULL;
}

size_t event_log_count(const struct event_log *l)
{
    return l->count;
}

const struct json *event_log_at(const struct event_log *l, size_t i)
{
    return i < l->count ? l->events[i] : NULL;
}

const struct json *event_log_last(const struct event_log *l, const char *event, const char *field, const char *value)
{
    size_t at = event_index_last(l->index, l->events, l->count, event, field, value);
    return at == EVENT_NONE ? NULL : l->events[at];
}

const struct json *event_log_last_of(const struct event_log *l, const char *const *names, const char *field, const char *value)
{
    size_t last = EVENT_NONE;
    for (; *names; names++) {
        size_t at = event_index_last(l->index, l->events, l->count, *names, field, value);
        last = last == EVENT_NONE || (at != EVENT_NONE && at > last) ? at : last;
    }
    return last == EVENT_NONE ? NULL : l->events[last];
}

/* Time and event first, for people who read the file. */
static struct json *compose(const char *name, const struct json *fields)
{
    char time[32];
    clock_timestamp(time, sizeof time);
    struct json *event = json_object();
    json_set_string(event, "time", time);
    json_set_string(event, "event", name);
    for (size_t i = 0; i < json_size(fields); i++)
        json_set(event, json_key(fields, i), json_copy(json_at(fields, i)));
    return event;
}

static int write_line(struct event_log *l, const char *line, size_t size, struct error *e)
{
    if (!file_write_all(l->file, line, size) && !file_sync(l->file)) {
        l->size += (off_t)size;
        return 0;
    }
    error_errno(e, errno, "%s: cannot be written; free disk space and run the same command again", l->path);
    if (ftruncate(l->file, l->size)) /* no half line under the next one */
        log_warn("%s: an incomplete line was left at its end", l->path);
    return -1;
}

int event_log_append(struct event_log *l, const char *name, struct json *fields, struct error *e)
{
    struct json *event = compose(name, fields);
    json_destroy(&fields);
    char *text = json_print(event, false), *line = format_string("%s\n", text);
    int result = write_line(l, line, strlen(line), e);
    free(text);
    free(line);
    if (result)
        json_destroy(&event);
    else
        keep(l, event);
    return result;
}

int event_log_append_all(struct event_log *l, const char *name, struct json *list, struct error *e)
{
    size_t count = json_size(list);
    struct json **events = allocate(count, sizeof(struct json *));
    struct buffer lines = {0};
    for (size_t i = 0; i < count; i++) {
        events[i] = compose(name, json_at(list, i));
        char *text = json_print(events[i], false);
        buffer_printf(&lines, "%s\n", text);
        free(text);
    }
    json_destroy(&list);
    int result = count ? write_line(l, lines.data, lines.size, e) : 0;
    for (size_t i = 0; i < count; i++)
        if (result)
            json_destroy(&events[i]);
        else
            keep(l, events[i]);
    buffer_free(&lines);
    free(events);
    return result;
}

int event_log_read(struct json **ret, const char *directory, struct error *e)
{
    struct event_log *l = make(directory);
    size_t good;
    if (load(l, &good, e)) {
        event_log_close(&l);
        return -1;
    }
    struct json *events = json_array();
    for (size_t i = 0; i < l->count; i++) {
        json_append(events, l->events[i]);
        l->events[i] = NULL;
    }
    event_log_close(&l);
    *ret = events;
    return 0;
}
