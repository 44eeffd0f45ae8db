/* The worker's side of the control connection: a thread that speaks with the coordinator and beats while the training thread
 * computes. What they pass each other goes through one mutex. Rank 0 does the talking; the link of another rank only beats, so
 * that the coordinator knows of each rank that it is alive, and where. What is lost on the way is said again: HELLO and EPOCH
 * until they are answered, the outcome of a lease when it is given a second time. */
#pragma once

#include "proto/message.h"

struct link;

struct link_news {
    bool stop;    /* the coordinator asked to save and stop (stop_request() has been called) */
    bool goodbye; /* ... to end, with exit_code */
    bool lost;    /* the coordinator is gone (stop_request() has been called) */
    int exit_code;
    char why[512]; /* lost: in words */
};

/* Reads the connection file, says HELLO and waits for WELCOME: as long as it takes once the line is up (the coordinator may be
 * busy), 10 s if it never gets there. ERROR_FAILED: nobody answers, the key or the version is not right, or words of refusal.
 * ERROR_STOPPED after a signal. hello: version is filled in here; texts are borrowed until this returns. */
int link_create(struct link **ret, const char *connection, struct message_hello *hello, struct error *e);
void link_destroy(struct link **l); /* gives what was sent two seconds to leave */
double link_heartbeat_timeout(const struct link *l);

/* Waits up to `seconds` for something new. True: a lease came, *lease is the caller's (message_free). */
bool link_wait(struct link *l, double seconds, struct message *lease, struct link_news *news);
void link_look(struct link *l, struct link_news *news);            /* without waiting or taking a lease */
void link_report(struct link *l, const struct message_beat *beat); /* what beats say from now on; copied */
int link_send(struct link *l, const struct message *m, struct error *e);
/* Sends EPOCH and waits for its VERDICT (*ret: the caller's to free). ERROR_STOPPED if the coordinator is lost or ends us
 * instead. */
int link_ask(struct link *l, const struct message *epoch, struct message *ret, struct error *e);
