/* SPDX-License-Identifier: Apache-2.0 */
/* Every message between coordinator and worker: one table in message.c gives each message its name, who may
 * send it, and its fields with type and bounds. On the wire: one JSON object, {"message": NAME, fields...}.
 *
 *   worker                 coordinator
 *   HELLO            ->
 *                    <-    WELCOME, or REFUSED with a reason (the worker prints it and ends)
 *                    <-    LEASE
 *   BEAT ...         ->    (silence for heartbeat_timeout is death)
 *   EPOCH            ->
 *                    <-    EPOCH_DECISION
 *   RESULT | FAILED  ->
 *                    <-    LEASE ... GOODBYE
 *                    <-    STOP (at any time)
 *   STOPPED          ->
 *                    <-    GOODBYE
 */
#pragma once

#include "proto/trial.h"

#define MESSAGE_LIMIT (4u << 20) /* bytes */

/* Raise it with every change of a message, a trial's fields or the connection file that the other side would not understand.
 * Programs of different versions work together if this number is the same. */
#define PROTOCOL_VERSION 1

enum message_kind {
    MESSAGE_HELLO,
    MESSAGE_BEAT,
    MESSAGE_EPOCH,
    MESSAGE_RESULT,
    MESSAGE_FAILED,
    MESSAGE_STOPPED,
    MESSAGE_WELCOME,
    MESSAGE_REFUSED,
    MESSAGE_LEASE,
    MESSAGE_EPOCH_DECISION,
    MESSAGE_STOP,
    MESSAGE_GOODBYE,
    MESSAGE_KINDS
};

enum message_side { SIDE_WORKER, SIDE_COORDINATOR };

struct message_hello {
    uint32_t protocol;             /* PROTOCOL_VERSION, as in WELCOME and the connection file */
    char *version, *host, *device; /* device: its description, one line */
    int pid;
    char *pid_namespace;     /* machine_pids(), in which pid means something; NULL: unknown */
    uint32_t ranks, threads; /* threads a rank */
    char *group;             /* token */
    uint32_t rank;           /* rank 0 sends for its group; the others (peer_write) send HELLO and BEAT only */
    char *build;             /* SHA-256 of the worker program; NULL: unknown */
    char *places;            /* a line a rank: host and cores; NULL: unknown */
    char *problem;           /* why the group cannot work; NULL: it can */
};

struct message_beat {
    uint64_t lease; /* 0: idle */
    uint64_t step, steps;
    uint32_t epoch, epochs;
    double loss, lr, grad_norm, tokens_per_second, examples_per_second;
    double peak_share; /* 0: not measured */
    char *operation;   /* see common/base/operation.h; NULL while idle */
};

struct message_epoch {
    uint64_t lease;
    uint32_t epoch;
    double train_loss;
    char *logits; /* path */
};

struct message_result {
    uint64_t lease;
    uint32_t epochs_done, best_epoch;
    uint64_t steps, tokens;
    double seconds;
    char *best_weights; /* NULL for a score */
};

struct message_failed {
    uint64_t lease;
    int kind; /* enum error_kind */
    char *reason;
    bool healthy; /* false: the group itself is broken (a rank was lost) and ends; the trial may be tried again elsewhere */
};

struct message_stopped {
    uint64_t lease; /* 0: was idle */
    bool leaving;   /* stopped by a signal of its own */
};

struct message_welcome {
    uint32_t protocol;
    char *version;
    double heartbeat_timeout; /* seconds */
    double time;              /* of the coordinator's clock, seconds of 1970; 0: unknown */
};

struct message_refused {
    char *reason;
};

struct message_lease {
    uint64_t lease;
    uint32_t attempt; /* 1-based */
    struct trial trial;
};

struct message_epoch_decision {
    uint64_t lease;
    uint32_t epoch;
    bool best, stop;
    struct json *metrics; /* or NULL */
};

struct message_goodbye {
    int exit_code;
};

struct message {
    enum message_kind kind;
    union {
        struct message_hello hello;
        struct message_beat beat;
        struct message_epoch epoch;
        struct message_result result;
        struct message_failed failed;
        struct message_stopped stopped;
        struct message_welcome welcome;
        struct message_refused refused;
        struct message_lease lease;
        struct message_epoch_decision epoch_decision;
        struct message_goodbye goodbye;
    };
};

const char *message_name(enum message_kind kind);
bool message_known(const char *name);

/* A rank's connection is named after its group; "/" and the rank follow but for rank 0. */
#define PEER_NAME 64 /* with NUL */
void peer_write(char peer[PEER_NAME], const char *group, uint32_t rank);
uint32_t peer_read(char group[PEER_NAME], const char *peer); /* the rank */

/* Text of the message, NUL-terminated; caller frees. Fields are borrowed. ERROR_FAILED if it is larger than MESSAGE_LIMIT. */
int message_encode(char **ret, const struct message *m, struct error *e);

/* Bytes that `from` sent. Anything that is not exactly a message of the table is ERROR_FAILED, naming message and field; another
 * protocol in HELLO or WELCOME is reported before anything else in it is read. Caller frees with message_free. */
int message_decode(struct message *ret, const char *bytes, size_t size, enum message_side from, struct error *e);
void message_free(struct message *m);

/* Does `j` (HELLO, WELCOME or the connection file of `who`: "muster-worker", "muster") have our PROTOCOL_VERSION? ERROR_FAILED
 * naming both numbers. Without one it is of before protocols had numbers: 0. */
int protocol_check(const struct json *j, const char *who, struct error *e);
