/* SPDX-License-Identifier: Apache-2.0 */
/* Internals of dispatch, for its own files only: dispatch.c (the loop: starts groups, gives leases, watches) calls on_message.c
 * (handles what workers send), dispatch_hosts.c (where groups run) and dispatch_metrics.c; dispatch.c and on_message.c both call
 * group.c (sends to a group, fails it, requeues its trial). All on the thread of dispatch_run; only dispatch_receive blocks, for
 * DISPATCH_POLL seconds at most. */
#pragma once

#include "cluster/interface.h"
#include "common/base/sha256.h"
#include "coordinator/dispatch/dispatch.h"
#include "coordinator/dispatch/lease.h"
#include "coordinator/dispatch/metrics_server.h"
#include "coordinator/dispatch/progress.h"
#include "coordinator/dispatch/roster.h"

#define DISPATCH_POLL 0.1   /* seconds between polls of processes and clocks */
#define DISPATCH_RESEND 2.0 /* seconds after which a message without an answer is sent again */

/* A peer that was sent REFUSED. */
struct refusal {
    char peer[PEER_NAME], reason[256]; /* the reason is cut */
    double sent;                       /* clock_seconds */
};
#define REFUSALS 1024u /* remembered; older ones may be logged again */

/* Since the start, for Prometheus. */
struct dispatch_counts {
    uint64_t messages[MESSAGE_KINDS], deaths, leases, steps, tokens; /* steps, tokens, seconds: of trials that are done */
    double seconds;
};

struct dispatch {
    struct dispatch_options options; /* texts are owned */
    const struct launcher *launcher;
    struct hosts *hosts;   /* of a launcher that uses slots, otherwise NULL */
    double no_hosts_since; /* since when no host has had room for a group; 0: one has */
    struct listener *listener;
    struct event_log *log;
    char *connection;       /* path of the connection file */
    char build[SHA256_HEX]; /* of the worker program; "" if it cannot be read */
    bool had_group;         /* some group has connected and could work */
    char run_name[9];       /* makes tokens of this dispatch differ from those of others */
    struct roster roster;
    uint64_t last_lease;
    int started, failed_starts; /* groups started ever; those in a row that never sent HELLO */
    double reminded, measured, polled;
    struct refusal refusals[REFUSALS];
    size_t next_refusal;
    struct metrics_server *metrics; /* NULL: nobody asked for it */
    struct dispatch_counts counts;
    /* while dispatch_run is at work */
    const struct trial *trials;
    struct leases leases;
    const struct dispatch_observer *observer;
    struct progress *progress;
    bool stopping;
    double stop_since, stop_sent;
    struct error first_failure;
};

/* group.c. Appends to events.jsonl before anything follows from the event; consumes fields. */
int dispatch_log_event(struct dispatch *d, const char *event, struct json *fields, struct error *e);
/* Sends never block; false: the peer is not connected now. */
bool dispatch_send(struct dispatch *d, const char *peer, const struct message *m);
bool dispatch_send_encoded(struct dispatch *d, const char *peer, enum message_kind kind,
                           const char *text); /* by message_encode */
void dispatch_send_goodbye(struct dispatch *d, const char *peer, int exit_code);
int dispatch_goodbye_code(const struct dispatch *d, int exit_code); /* for workers, when the coordinator ends with exit_code */
struct lease *dispatch_lease_of(struct dispatch *d, const struct group *g); /* NULL: it has none of this dispatch_run */
int dispatch_end_trial(struct dispatch *d, size_t i, enum lease_state state, const struct dispatch_result *result,
                       const struct error *why, struct error *e);
int dispatch_fail_trial(struct dispatch *d, size_t i, const struct error *why, struct error *e);
/* The trial of a group that is gone: back to the queue, or given up after `restarts` deaths. */
int dispatch_requeue_trial(struct dispatch *d, struct group *g, const struct error *why, struct error *e);
/* Logs the death, kills what is left, and puts its trial back into the queue or gives it up. rank: whose death it is; -1: not
 * known. */
int dispatch_fail_group(struct dispatch *d, struct group *g, int rank, const char *why, struct error *e);
bool dispatch_send_lease(struct dispatch *d, const struct group *g); /* the one it has */
void dispatch_send_stop(struct dispatch *d);                         /* to all live groups */
void dispatch_begin_stop(struct dispatch *d);
/* dispatch_hosts.c. Hosts, and the address to listen at. */
int dispatch_find_hosts(struct hosts **hosts, char address[INTERFACE_ADDRESS], const struct dispatch_options *o, struct error *e);
int dispatch_threads(const struct dispatch_options *o, const struct hosts *hosts); /* of a rank */
/* Slots for one more group. *found false: none now. ERROR_FAILED: there will be none. */
int dispatch_take_slots(struct dispatch *d, bool *found, struct slots *ret, struct error *e);
int dispatch_log_group(struct dispatch *d, const struct group *g, struct error *e); /* on_message.c: event group_started */
/* on_message.c. Waits up to DISPATCH_POLL seconds for a message, then handles all there are. */
int dispatch_receive(struct dispatch *d, struct error *e);
/* dispatch_metrics.c. *port: where it serves; 0: nobody asked for metrics. */
int dispatch_metrics_open(struct dispatch *d, int *port, struct error *e);
void dispatch_metrics_update(struct dispatch *d, bool now); /* cheap to call often: once a second, unless now */
