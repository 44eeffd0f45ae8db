/* SPDX-License-Identifier: Apache-2.0 */
/* A worker's end of the control connection: a ZeroMQ DEALER with CURVE, and the state of the line, from its monitor.
 * Reconnects by itself. All calls come from one thread. */
#pragma once

#include "proto/connection.h"

#include <stddef.h>

struct dialer;

enum line_state {
    LINE_DOWN,   /* not connected (yet, or any more); a coordinator with another key than the file's hangs up without a word */
    LINE_UP,     /* connected and authenticated */
    LINE_REFUSED /* the coordinator does not accept our key */
};

/* name: of this peer, the group's token. */
int dialer_create(struct dialer **ret, const struct connection *c, const char *name, struct error *e);
void dialer_destroy(struct dialer **d); /* waits up to two seconds for what was sent to leave, if the line is up */

/* Sleeps until a message may be there, the line changes, `descriptor` (-1: none) can be read, or `seconds` are over. */
void dialer_wait(struct dialer *d, int descriptor, double seconds);
/* 1: a message, borrowed until the next call; 0: none is there now. */
int dialer_receive(struct dialer *d, const char **bytes, size_t *size);
bool dialer_send(struct dialer *d, const char *text);               /* false: not now, too much is waiting */
enum line_state dialer_line(const struct dialer *d, double *since); /* since: clock_seconds of the last change */
