/* SPDX-License-Identifier: Apache-2.0 */
/* The connection file, <run directory>/connection.json, mode 0600: how a worker finds the coordinator and proves that it may. */
#pragma once

#include "common/base/error.h"

#include <stdint.h>

#define CONNECTION_FILE "connection.json"
#define CONNECTION_KEY 41       /* a CURVE key in Z85 text, with NUL */
#define CONNECTION_OVERHEAD 256 /* bytes that CURVE may add to a message; libzmq counts them against its limit */

struct connection {
    uint32_t protocol; /* PROTOCOL_VERSION (message.h) */
    char *version;
    char *session;    /* of the MPI job that the coordinator was started under; NULL if none */
    char *endpoint;   /* "tcp://127.0.0.1:40713"; NULL: the run has finished (a waiting worker exits with 0), or `coming` */
    char *server_key; /* public key of the coordinator; NULL with endpoint NULL, as the next two */
    char *public_key, *secret_key; /* of every worker of this run */
    bool coming;                   /* no endpoint yet: the coordinator of `session` is at work before it needs workers */
};

int connection_write(const struct connection *c, const char *path, struct error *e); /* atomically; never readable by others */
/* ERROR_FAILED: missing, damaged, or of another protocol (naming both numbers). */
int connection_read(struct connection *ret, const char *path, struct error *e);
void connection_free(struct connection *c);
