/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/connection.h"

#include "common/base/file.h"
#include "proto/message.h"
#include "proto/record.h"

#include <stddef.h>
#include <stdlib.h>
#include <sys/stat.h>

#define FIELD(member, least, most, flag)                                                                                         \
    {                                                                                                                            \
        .name = #member, .type = RECORD_STRING, .offset = offsetof(struct connection, member), .min = least, .max = most,        \
        .flags = flag                                                                                                            \
    }
#define KEY(member) FIELD(member, CONNECTION_KEY - 1, CONNECTION_KEY - 1, RECORD_OPTIONAL)

static const struct record_field fields[] = {
    {.name = "protocol", .type = RECORD_U32, .offset = offsetof(struct connection, protocol), .min = 1, .max = 65535},
    FIELD(version, 1, 63, 0),
    FIELD(session, 1, 255, RECORD_OPTIONAL),
    {.name = "coming", .type = RECORD_BOOLEAN, .offset = offsetof(struct connection, coming), .flags = RECORD_OPTIONAL},
    FIELD(endpoint, 1, 255, RECORD_OPTIONAL),
    KEY(server_key),
    KEY(public_key),
    KEY(secret_key),
    {0},
};

int connection_write(const struct connection *c, const char *path, struct error *e)
{
    struct file_writer *w;
    mode_t before = umask(0077); /* private from its first byte on */
    int status = file_writer_create(&w, path, e);
    umask(before);
    if (status)
        return -1;
    struct json *j = record_to_json(fields, c);
    char *text = json_print(j, true);
    fprintf(file_writer_stream(w), "%s\n", text);
    free(text);
    json_destroy(&j);
    return file_writer_commit(&w, e);
}

static int check(const struct connection *c, struct error *e)
{
    if (c->endpoint && !(c->server_key && c->public_key && c->secret_key))
        return error_set(e, ERROR_FAILED, "a key is missing");
    return 0;
}

int connection_read(struct connection *ret, const char *path, struct error *e)
{
    struct connection c = {0};
    struct json *j;
    if (json_read(&j, path, e)) {
        e->kind = ERROR_FAILED;
        return -1;
    }
    int result = protocol_check(j, "muster", e) ? -1 : record_from_json(&c, fields, j, NULL, e);
    json_destroy(&j);
    if (result || check(&c, e)) {
        connection_free(&c);
        return error_prefix(e, "%s: ", path);
    }
    *ret = c;
    return 0;
}

void connection_free(struct connection *c)
{
    record_free(fields, c);
}
