/* Everything that a coordinator and a worker say to each other: one table in message.c gives each message its name, who may
 * say it, and its fields with type and bounds. On the wire: one JSON object, {"message": NAME, fields...}.
 *
 *   worker                 coordinator
 *   HELLO            ->
 *                    <-    WELCOME, or REFUSED with words (the worker prints them and ends)
 *                    <-    LEASE
 *   BEAT ...         ->    (silence for heartbeat_timeout is death)
 *   EPOCH            ->
 *                    <-    VERDICT
 *   RESULT | FAILED  ->
 *                    <-    LEASE ... GOODBYE
 *                    <-    STOP (at any time)
 *   STOPPED          ->
 *                    <-    GOODBYE
 */
#pragma once

#include "proto/trial.h"

#define MESSAGE_LIMIT (4u << 20) /* bytes */

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
    MESSAGE_VERDICT,
    MESSAGE_STOP,
    MESSAGE_GOODBYE,
    MESSAGE_KINDS
};

enum message_side { SIDE_WORKER, SIDE_COORDINATOR };

struct message_hello {
    char *version, *host, *device; /* device: one line for people */
    int pid;
    uint32_t ranks, threads; /* threads a rank */
    char *group;             /* token */
    uint32_t rank;           /* rank 0 speaks for its group; the others (message_peer) only beat */
    char *build;             /* SHA-256 of the worker program; NULL: not told */
    char *places;            /* a line a rank: host and cores; NULL: not told */
    char *problem;           /* why the group cannot work, in words, NULL if it can */
};

struct message_beat {
    uint64_t lease; /* 0: idle */
    uint64_t step, steps;
    uint32_t epoch, epochs;
    double loss, lr, grad_norm, tokens_per_second, examples_per_second;
    double gemm_share; /* 0: not measured */
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
    char *words;
    bool healthy; /* false: the group itself is broken (a rank was lost) and ends; the trial may be tried again elsewhere */
};

struct message_stopped {
    uint64_t lease; /* 0: was idle */
    bool leaving;   /* stopped by a signal of its own */
};

struct message_welcome {
    char *version;
    double heartbeat_timeout; /* seconds */
    double time;              /* of the coordinator's clock, seconds of 1970; 0: not told */
};

struct message_refused {
    char *words;
};

struct message_lease {
    uint64_t lease;
    uint32_t attempt; /* 1-based */
    struct trial trial;
};

struct message_verdict {
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
        struct message_verdict verdict;
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
 * version in HELLO or WELCOME is said before anything else in it is looked at. Caller frees with message_free. */
int message_decode(struct message *ret, const char *bytes, size_t size, enum message_side from, struct error *e);
void message_free(struct message *m);

/* Is this the same version as ours? ERROR_FAILED naming both. who: "muster-worker", "muster". */
int version_check(const char *version, const char *who, struct error *e);
