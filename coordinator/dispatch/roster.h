/* SPDX-License-Identifier: Apache-2.0 */
/* The worker groups of a run: their processes, what they work on, and when each rank last sent something. Nothing here blocks;
 * one thread. */
#pragma once

#include "cluster/hosts.h"
#include "cluster/launcher.h"
#include "cluster/output.h"
#include "proto/listener.h"
#include "proto/message.h"
#include "proto/state.h"

/* A rank, from its own beats. */
struct rank_state {
    double last_message; /* clock_seconds; 0: it has not sent HELLO */
    char host[256];
    uint64_t step;
    char operation[64];
};

struct group {
    char token[PEER_NAME];
    int state;     /* enum group_state */
    pid_t process; /* that we started and that has not been reaped; 0: none */
    struct output output;
    struct slots slots;         /* on hosts; none unless the launcher uses slots */
    int place;                  /* among the live groups of this machine, from 0; each has another */
    struct message_hello hello; /* zero before HELLO; owned */
    double started;             /* clock_seconds */
    struct rank_state *ranks;   /* (hello.ranks), from HELLO on */
    uint64_t lease;             /* number; 0: none */
    size_t trial;               /* while it has a lease */
    struct message_beat beat;   /* last report; `operation` points into the next field */
    char operation[64];
    char ending[128];       /* how its process ended, once it has */
    double idle_since;      /* it has a lease, and its beats say since then that it has none; 0: they do not */
    double goodbye_sent;    /* clock_seconds: to a group that is gone and sent something; 0: never */
    uint32_t decided_epoch; /* epoch of this lease that `decision` is of; 0: none */
    char *decision;         /* as it was sent, owned */
};

struct roster {
    struct group **groups;
    size_t count, capacity;
};

struct group *roster_add(struct roster *r, const char *token);
struct group *roster_find(const struct roster *r, const char *peer, uint32_t *rank /* NULL: any */); /* NULL: unknown */
size_t roster_in(const struct roster *r, unsigned states); /* how many are in a state of this set of bits 1 << state */
#define ROSTER_LIVE (1u << GROUP_STARTING | 1u << GROUP_IDLE | 1u << GROUP_BUSY | 1u << GROUP_STOPPED)
void roster_free(struct roster *r);

void group_add_rank(struct group *g, uint32_t rank, const char *host);
void group_note_beat(struct group *g, const struct message_beat *b); /* of rank 0: what it does with its lease */
void group_note_message(struct group *g, uint32_t rank, const struct message_beat *b /* or NULL */); /* of `rank` */
/* The rank that has been silent for longest, and for how long; -1: none is known. */
int group_most_silent(const struct group *g, double *seconds);
void group_reset_silence(struct group *g); /* nothing was received for a while: silence counts from now */
/* Relays what its processes print, and reaps the first of them if it has ended: true once, and `ending` says how. */
bool group_poll(struct group *g);
/* True for a worker that somebody else started on this host and that does not exist any more. */
bool group_vanished(const struct group *g);
void group_kill(struct group *g, int signal); /* the process we started and its children; nothing if there is none */
