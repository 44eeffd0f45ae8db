/* SPDX-License-Identifier: Apache-2.0 */
/* events.jsonl of a run directory, the truth of a run: log first, act second (rule 2). One JSON object a line with "time" and
 * "event", appended and fsynced. Restart = replay; applying an event twice is harmless. An incomplete last line (a crash while
 * writing) is dropped with a warning; damage anywhere else is ERROR_FAILED with the line.
 *
 * Also the lock of the run directory: a second coordinator in it is refused with host and pid of the first, and so is a file
 * system that has no locks. Used by one thread; append blocks until the line is on disk, whatever signals arrive. */
#pragma once

#include "common/json/json.h"

struct event_log;

/* Opens or creates <directory>/events.jsonl and takes the lock. ERROR_USAGE if another coordinator holds it; ERROR_FAILED if the
 * directory cannot be locked or written, or the log is damaged. */
int event_log_open(struct event_log **ret, const char *directory, struct error *e);
void event_log_close(struct event_log **l);
size_t event_log_count(const struct event_log *l);
const struct json *event_log_at(const struct event_log *l, size_t i); /* borrowed until close */
/* Last event of this name where the string `field` is `value` (field NULL: any); NULL if none. Indexed: no scan of the log. */
const struct json *event_log_last(const struct event_log *l, const char *event, const char *field, const char *value);
/* The last of them by any of these names (ended by NULL). */
const struct json *event_log_last_of(const struct event_log *l, const char *const *names, const char *field, const char *value);
/* Consumes `fields` (an object or NULL), adds time and event. */
int event_log_append(struct event_log *l, const char *event, struct json *fields, struct error *e);
/* The same for each of a list of fields, which is consumed: written and synced once, all or none of them. */
int event_log_append_all(struct event_log *l, const char *event, struct json *list, struct error *e);

/* Reading without the lock, for `muster status`. Caller destroys *ret (an array). */
int event_log_read(struct json **ret, const char *directory, struct error *e);
