/* The worker groups of a run: who they are, what they do, and when they were last heard. */
#pragma once

#include "cluster/launcher.h"
#include "cluster/output.h"
#include "proto/listener.h"
#include "proto/message.h"
#include "proto/state.h"

struct group {
    char token[PEER_NAME];
    int state;     /* enum group_state */
    pid_t process; /* that we started and have not yet seen ended; 0: none */
    struct output output;
    struct message_hello hello; /* zero before HELLO; owned */
    double heard;               /* clock_seconds of the last message (before the first: of the start) */
    uint64_t lease;             /* number; 0: none */
    size_t trial;               /* while it has a lease */
    struct message_beat beat;   /* last report; `operation` points into the next field */
    char operation[64];
    char ending[128]; /* how its process ended, once it has */
};

struct roster {
    struct group **groups;
    size_t count, capacity;
};

struct group *roster_add(struct roster *r, const char *token);
struct group *roster_find(const struct roster *r, const char *token); /* NULL: unknown */
size_t roster_in(const struct roster *r, unsigned states);            /* how many are in a state of this set of bits 1 << state */
#define ROSTER_LIVE (1u << GROUP_STARTING | 1u << GROUP_IDLE | 1u << GROUP_BUSY | 1u << GROUP_STOPPED)
void roster_free(struct roster *r);

void group_note_beat(struct group *g, const struct message_beat *b);
/* Passes on what its processes print, and looks whether the first of them has ended: true once, at the moment it is seen; how is
 * then in `ending`. */
bool group_poll(struct group *g);
/* A worker that somebody else started on this host and that is not there any more: true. */
bool group_vanished(const struct group *g);
void group_kill(struct group *g, int signal); /* the process we started and its children; nothing if there is none */
