/* SPDX-License-Identifier: Apache-2.0 */
/* Positions of events by (name, field, value), so that a restart of many trials does not scan the log for each of them. An index
 * is built over the whole log the first time a (name, field) is asked for, and kept up to date from then on. One thread. */
#pragma once

#include "common/json/json.h"

#include <stdint.h>

#define EVENT_NONE SIZE_MAX

struct event_index;

void event_index_create(struct event_index **ret);
void event_index_destroy(struct event_index **x);
/* `event` is now at `position` of the log. Borrowed until destroy. */
void event_index_add(struct event_index *x, const struct json *event, size_t position);
/* Position of the last event of this name whose `field` is the string `value` (field NULL: any), or EVENT_NONE. events: (count).
 */
size_t event_index_last(struct event_index *x, struct json *const *events, size_t count, const char *name, const char *field,
                        const char *value);
