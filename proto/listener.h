/* SPDX-License-Identifier: Apache-2.0 */
/* The coordinator's end of the control connection: a ZeroMQ ROUTER on a free port of one address of this host, encrypted and
 * authenticated by CURVE with keys made for this run. A peer without the key of this run is rejected before any of its messages
 * is seen. Connections are answered by threads of its own, also while the owner does something else; all calls come from one
 * thread. */
#pragma once

#include "proto/connection.h"
#include "proto/message.h"

#include <stddef.h>

struct listener;

int listener_create(struct listener **ret, const char *address /* "127.0.0.1" */, struct error *e);
void listener_destroy(struct listener **l); /* gives what was sent one second to leave */
/* What a worker needs; texts are borrowed until destroy, version and session stay NULL. */
void listener_connection(const struct listener *l, struct connection *ret);

/* One message. 1: *bytes (borrowed until the next call), *size and the peer's name are set; 0: none came within `seconds`
 * (or a signal did, or what is no message). -1: the socket is broken. */
int listener_receive(struct listener *l, char peer[PEER_NAME], const char **bytes, size_t *size, double seconds, struct error *e);
/* false: the peer is not connected now. */
bool listener_send(struct listener *l, const char *peer, const char *text);
