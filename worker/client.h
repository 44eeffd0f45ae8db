/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's side of the control connection. A thread of its own exchanges messages with the coordinator and sends heartbeats
 * while the training thread computes; the two share state under one mutex. Rank 0 sends and receives everything; the client of
 * another rank only sends heartbeats, so that the coordinator knows that each rank is alive, and where. Lost messages are sent
 * again: hello and epoch until they are answered, the outcome of a lease when that lease is offered a second time. All calls come
 * from the training thread. */
#pragma once

#include "proto/message.h"

struct client;

struct client_status {
    bool stop;    /* the coordinator asked to save and stop (stop_request() has been called) */
    bool goodbye; /* ... to end, with exit_code */
    bool lost;    /* the coordinator is unreachable or rejected this worker (stop_request() has been called) */
    int exit_code;
    char why[512]; /* lost: the reason */
};

/* Reads the connection file, sends hello and waits for welcome: without limit once connected (the coordinator may be busy), 10 s
 * to connect. ERROR_FAILED: nothing answers, the key or the protocol does not match, or the coordinator rejects the worker.
 * ERROR_STOPPED after a signal. hello: protocol and version are filled in here; strings are borrowed until this returns. */
int client_create(struct client **ret, const char *connection, struct message_hello *hello, struct error *e);
void client_destroy(struct client **c); /* waits up to two seconds for queued messages to leave */
double client_heartbeat_timeout(const struct client *client);

/* Waits up to `seconds` for a lease or for a change of *status, which is updated. True: a lease came, *lease is the caller's
 * (message_free). */
bool client_wait(struct client *client, double seconds, struct message *lease, struct client_status *status);
void client_poll(struct client *client, struct client_status *status);                /* never blocks, takes no lease */
void client_set_progress(struct client *client, const struct message_beat *progress); /* for heartbeats from now on; copied */
int client_send(struct client *client, const struct message *m, struct error *e);     /* queued; never blocks */
/* Sends an epoch message and blocks until its decision comes (*ret: the caller's to free). ERROR_STOPPED if the coordinator is
 * lost or ends this worker instead. */
int client_ask(struct client *client, const struct message *epoch, struct message *ret, struct error *e);
