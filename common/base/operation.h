/* SPDX-License-Identifier: Apache-2.0 */
/* What this process is doing now, in one word: heartbeats carry it, so that the death of a rank can be told with its operation,
 * and a hook (planned faults) is called where one begins. Set by the thread that works, read by any. */
#pragma once

#include <stdbool.h>

/* name: a constant of the list in operation.c. */
void operation_begin(const char *name);
/* Called by every operation_begin, on its thread; NULL: none. Set it before other threads start. */
void operation_set_hook(void (*function)(const char *name));
const char *operation_now(void);                           /* "" before the first */
const char *operation_near(const char *name, bool *known); /* the one most like it, or NULL; known: it is one itself */
