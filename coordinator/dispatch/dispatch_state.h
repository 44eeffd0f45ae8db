/* The inside of dispatch, shared by its files: dispatch.c (groups and leases), dispatch_peers.c (what workers say) and
 * dispatch_hosts.c (where groups live). */
#pragma once

#include "cluster/interface.h"
#include "common/base/sha256.h"
#include "coordinator/dispatch/dispatch.h"
#include "coordinator/dispatch/lease.h"
#include "coordinator/dispatch/metrics_server.h"
#include "coordinator/dispatch/progress.h"
#include "coordinator/dispatch/roster.h"

#define DISPATCH_TURN 0.1   /* seconds between looks at processes and clocks */
#define DISPATCH_REPEAT 2.0 /* seconds after which something that was lost on the line is said again */

/* Since the start, for Prometheus. */
struct dispatch_counts {
    uint64_t messages[MESSAGE_KINDS], deaths, leases, steps, tokens; /* steps, tokens, seconds: of trials that are done */
    double seconds;
};

struct dispatch {
    struct dispatch_options options; /* texts are owned */
    const struct launcher *launcher;
    struct hosts *hosts; /* of a seated launcher, otherwise NULL */
    double stranded;     /* since when no host has had room for a group; 0: it is not so */
    struct listener *listener;
    struct event_log *log;
    char *connection;       /* path of the connection file */
    char build[SHA256_HEX]; /* of the worker program; "" if it cannot be read */
    bool welcomed;          /* some group was well */
    char run_name[9];       /* makes tokens of this dispatch differ from those of others */
    struct roster roster;
    uint64_t last_lease;
    int started, failed_starts; /* groups started ever; those in a row that never said HELLO */
    double reminded, measured, looked;
    struct metrics_server *metrics; /* NULL: nobody asked for it */
    struct dispatch_counts counts;
    /* while dispatch_run is at work */
    const struct trial *trials;
    struct leases leases;
    const struct dispatch_observer *observer;
    struct progress *progress;
    bool stopping;
    double stop_since, stop_said;
    struct error first_failure;
};

int dispatch_note(struct dispatch *d, const char *event, struct json *fields, struct error *e); /* log first; consumes fields */
bool dispatch_send(struct dispatch *d, const char *peer, const struct message *m);
void dispatch_dismiss(struct dispatch *d, const char *peer, int exit_code); /* GOODBYE */
int dispatch_goodbye_code(const struct dispatch *d, int exit_code);
/* Logs the death, kills what is left, and puts its trial back into the queue or gives it up. rank: whose death it is; -1: not
 * known. */
int dispatch_group_dies(struct dispatch *d, struct group *g, int rank, const char *why, struct error *e);
bool dispatch_send_lease(struct dispatch *d, const struct group *g); /* the one it has */
void dispatch_ask_to_stop(struct dispatch *d);
/* Hosts, and the address to listen at. */
int dispatch_find_hosts(struct hosts **hosts, char address[INTERFACE_ADDRESS], const struct dispatch_options *o, struct error *e);
int dispatch_threads(const struct dispatch_options *o, const struct hosts *hosts); /* of a rank */
/* Slots for one more group. *found false: none now. ERROR_FAILED: there will be none. */
int dispatch_seat(struct dispatch *d, bool *found, struct seats *ret, struct error *e);
int dispatch_listen(struct dispatch *d, struct error *e);
int dispatch_metrics_open(struct dispatch *d, struct error *e);
void dispatch_metrics_update(struct dispatch *d, bool now); /* cheap to call often: once a second, unless now */
