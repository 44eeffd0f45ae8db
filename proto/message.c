/* SPDX-License-Identifier: Apache-2.0 */
/* The table of messages. */
#include "proto/message.h"

#include "common/base/memory.h"
#include "common/base/version.h"
#include "proto/fields.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_MOST 4096.0
#define WORDS_MOST 1023.0
#define PLACES_MOST 1048576.0
#define STEPS_MOST 9007199254740992.0

#define FIELD(body, member, ...)                                                                                                 \
    {                                                                                                                            \
        .name = #member, .offset = offsetof(struct message, body.member), __VA_ARGS__                                            \
    }
#define LEASE_FIELD(body, least) FIELD(body, lease, .type = RECORD_U64, .min = least, .max = STEPS_MOST)
#define PROTOCOL_FIELD(body) FIELD(body, protocol, .type = RECORD_U32, .min = 1, .max = 65535)
#define TEXT(least, most) .type = RECORD_STRING, .min = least, .max = most

static const struct record_field hello_fields[] = {
    PROTOCOL_FIELD(hello),
    FIELD(hello, version, TEXT(1, 63)),
    FIELD(hello, host, TEXT(1, 255)),
    FIELD(hello, device, TEXT(0, 255)),
    FIELD(hello, pid, .type = RECORD_INT, .min = 1, .max = INT32_MAX),
    FIELD(hello, pid_namespace, TEXT(0, 63), .flags = RECORD_OPTIONAL),
    FIELD(hello, ranks, .type = RECORD_U32, .min = 1, .max = 65536),
    FIELD(hello, threads, .type = RECORD_U32, .min = 1, .max = 65536),
    FIELD(hello, group, TEXT(1, 52)), /* a rank's number follows in its peer's name */
    FIELD(hello, rank, .type = RECORD_U32, .max = 65535),
    FIELD(hello, build, TEXT(1, 64), .flags = RECORD_OPTIONAL),
    FIELD(hello, places, TEXT(0, PLACES_MOST), .flags = RECORD_OPTIONAL),
    FIELD(hello, problem, TEXT(0, WORDS_MOST), .flags = RECORD_OPTIONAL),
    {0},
};

static const struct record_field beat_fields[] = {
    LEASE_FIELD(beat, 0),
    FIELD(beat, step, .type = RECORD_U64),
    FIELD(beat, steps, .type = RECORD_U64),
    FIELD(beat, epoch, .type = RECORD_U32),
    FIELD(beat, epochs, .type = RECORD_U32),
    FIELD(beat, loss, .type = RECORD_DOUBLE, .flags = RECORD_NAN),
    FIELD(beat, lr, .type = RECORD_DOUBLE, .flags = RECORD_NAN),
    FIELD(beat, grad_norm, .type = RECORD_DOUBLE, .flags = RECORD_NAN),
    FIELD(beat, tokens_per_second, .type = RECORD_DOUBLE, .flags = RECORD_NAN),
    FIELD(beat, examples_per_second, .type = RECORD_DOUBLE, .flags = RECORD_NAN),
    FIELD(beat, peak_share, .type = RECORD_DOUBLE, .flags = RECORD_NAN),
    FIELD(beat, operation, TEXT(0, 63), .flags = RECORD_OPTIONAL),
    {0},
};

static const struct record_field epoch_fields[] = {
    LEASE_FIELD(epoch, 1),
    FIELD(epoch, epoch, .type = RECORD_U32, .min = 1, .max = 65535),
    FIELD(epoch, train_loss, .type = RECORD_DOUBLE, .flags = RECORD_NAN),
    FIELD(epoch, logits, TEXT(1, PATH_MOST)),
    {0},
};

static const struct record_field result_fields[] = {
    LEASE_FIELD(result, 1),
    FIELD(result, epochs_done, .type = RECORD_U32, .min = 0, .max = 65535),
    FIELD(result, best_epoch, .type = RECORD_U32, .min = 0, .max = 65535),
    FIELD(result, steps, .type = RECORD_U64),
    FIELD(result, tokens, .type = RECORD_U64),
    FIELD(result, seconds, .type = RECORD_DOUBLE, .min = 0, .max = 1e12),
    FIELD(result, best_weights, TEXT(1, PATH_MOST), .flags = RECORD_OPTIONAL),
    {0},
};

static const struct record_field failed_fields[] = {
    LEASE_FIELD(failed, 1),
    FIELD(failed, kind, .type = RECORD_INT, .min = 1, .max = 255),
    FIELD(failed, reason, TEXT(0, WORDS_MOST)),
    FIELD(failed, healthy, .type = RECORD_BOOLEAN),
    {0},
};

static const struct record_field stopped_fields[] = {
    LEASE_FIELD(stopped, 0),
    FIELD(stopped, leaving, .type = RECORD_BOOLEAN),
    {0},
};

static const struct record_field welcome_fields[] = {
    PROTOCOL_FIELD(welcome),
    FIELD(welcome, version, TEXT(1, 63)),
    FIELD(welcome, heartbeat_timeout, .type = RECORD_DOUBLE, .min = 0.1, .max = 1e6),
    FIELD(welcome, time, .type = RECORD_DOUBLE, .flags = RECORD_OPTIONAL, .max = 1e12),
    {0},
};

static const struct record_field refused_fields[] = {
    FIELD(refused, reason, TEXT(0, WORDS_MOST)),
    {0},
};

static const struct record_field lease_fields[] = {
    LEASE_FIELD(lease, 1),
    FIELD(lease, attempt, .type = RECORD_U32, .min = 1, .max = 1e6),
    FIELD(lease, trial, .type = RECORD_RECORD, .detail = trial_fields),
    {0},
};

static const struct record_field epoch_decision_fields[] = {
    LEASE_FIELD(epoch_decision, 1),
    FIELD(epoch_decision, epoch, .type = RECORD_U32, .min = 1, .max = 65535),
    FIELD(epoch_decision, best, .type = RECORD_BOOLEAN),
    FIELD(epoch_decision, stop, .type = RECORD_BOOLEAN),
    FIELD(epoch_decision, metrics, .type = RECORD_OBJECT, .flags = RECORD_OPTIONAL),
    {0},
};

static const struct record_field stop_fields[] = {{0}};

static const struct record_field goodbye_fields[] = {
    FIELD(goodbye, exit_code, .type = RECORD_INT, .min = 0, .max = 255),
    {0},
};

static const struct {
    const char *name;
    enum message_side from;
    const struct record_field *fields;
} table[MESSAGE_KINDS] = {
    [MESSAGE_HELLO] = {"hello", SIDE_WORKER, hello_fields},
    [MESSAGE_BEAT] = {"beat", SIDE_WORKER, beat_fields},
    [MESSAGE_EPOCH] = {"epoch", SIDE_WORKER, epoch_fields},
    [MESSAGE_RESULT] = {"result", SIDE_WORKER, result_fields},
    [MESSAGE_FAILED] = {"failed", SIDE_WORKER, failed_fields},
    [MESSAGE_STOPPED] = {"stopped", SIDE_WORKER, stopped_fields},
    [MESSAGE_WELCOME] = {"welcome", SIDE_COORDINATOR, welcome_fields},
    [MESSAGE_REFUSED] = {"refused", SIDE_COORDINATOR, refused_fields},
    [MESSAGE_LEASE] = {"lease", SIDE_COORDINATOR, lease_fields},
    [MESSAGE_EPOCH_DECISION] = {"epoch_decision", SIDE_COORDINATOR, epoch_decision_fields},
    [MESSAGE_STOP] = {"stop", SIDE_COORDINATOR, stop_fields},
    [MESSAGE_GOODBYE] = {"goodbye", SIDE_COORDINATOR, goodbye_fields},
};

static const char *const side_names[] = {[SIDE_WORKER] = "a worker", [SIDE_COORDINATOR] = "the coordinator"};
static const char *const program_names[] = {[SIDE_WORKER] = "muster-worker", [SIDE_COORDINATOR] = "muster"};

const char *message_name(enum message_kind kind)
{
    return table[kind].name;
}

bool message_known(const char *name)
{
    for (int kind = 0; kind < MESSAGE_KINDS; kind++)
        if (!strcmp(table[kind].name, name))
            return true;
    return false;
}

void peer_write(char peer[PEER_NAME], const char *group, uint32_t rank)
{
    if (rank)
        snprintf(peer, PEER_NAME, "%.52s/%u", group, rank % 65536);
    else
        snprintf(peer, PEER_NAME, "%s", group);
}

uint32_t peer_read(char group[PEER_NAME], const char *peer)
{
    const char *slash = strrchr(peer, '/');
    snprintf(group, PEER_NAME, "%.*s", slash ? (int)(slash - peer) : PEER_NAME - 1, peer);
    return slash ? (uint32_t)strtoul(slash + 1, NULL, 10) : 0;
}

int protocol_check(const struct json *j, const char *who, struct error *e)
{
    const struct json *number = json_get(j, "protocol");
    const char *version = json_string(json_get(j, "version"));
    double theirs = number ? json_number(number) : 0;
    if (theirs == PROTOCOL_VERSION)
        return 0;
    return error_set(e, ERROR_FAILED,
                     "%s %.40s uses protocol %.0f, but this program (" MUSTER_VERSION
                     ") uses protocol %d; install the same version on all hosts",
                     who, version ? version : "of unknown version", theirs, PROTOCOL_VERSION);
}

int message_encode(char **ret, const struct message *m, struct error *e)
{
    struct json *j = json_object();
    json_set_string(j, "message", table[m->kind].name);
    record_add(j, table[m->kind].fields, m);
    char *text = json_print(j, false);
    json_destroy(&j);
    size_t size = strlen(text);
    if (size > MESSAGE_LIMIT) {
        free(text);
        return error_set(e, ERROR_FAILED, "message \"%s\": too large: %zu bytes, at most %u can be sent", table[m->kind].name,
                         size, MESSAGE_LIMIT);
    }
    *ret = text;
    return 0;
}

static int find_kind(enum message_kind *ret, const struct json *j, enum message_side from, struct error *e)
{
    const struct json *name = json_get(j, "message");
    if (!name || !json_string(name))
        return error_set(e, ERROR_FAILED, "message: expected an object with its name in \"message\"");
    for (int kind = 0; kind < MESSAGE_KINDS; kind++) {
        if (strcmp(table[kind].name, json_string(name)))
            continue;
        if (table[kind].from != from)
            return error_set(e, ERROR_FAILED, "message \"%s\": is never sent by %s", table[kind].name, side_names[from]);
        *ret = kind;
        return 0;
    }
    return error_set(e, ERROR_FAILED, "message \"%.40s\": unknown", json_string(name));
}

static int decode(struct message *ret, const struct json *j, enum message_side from, struct error *e)
{
    struct message m = {0};
    if (find_kind(&m.kind, j, from, e))
        return -1;
    if ((m.kind == MESSAGE_HELLO || m.kind == MESSAGE_WELCOME) && protocol_check(j, program_names[from], e))
        return -1;
    if (record_from_json(&m, table[m.kind].fields, j, "message", e))
        return error_prefix(e, "message \"%s\": ", table[m.kind].name);
    *ret = m;
    return 0;
}

int message_decode(struct message *ret, const char *bytes, size_t size, enum message_side from, struct error *e)
{
    if (size > MESSAGE_LIMIT)
        return error_set(e, ERROR_FAILED, "message: too large: %zu bytes, at most %u are accepted", size, MESSAGE_LIMIT);
    struct json *j;
    if (json_parse(&j, bytes, size, "message", e)) {
        if (e)
            e->kind = ERROR_FAILED; /* the peer's fault, not that of the user's data */
        return -1;
    }
    int result = decode(ret, j, from, e);
    json_destroy(&j);
    return result;
}

void message_free(struct message *m)
{
    record_free(table[m->kind].fields, m);
}
