/* SPDX-License-Identifier: Apache-2.0 */
/* GET /metrics on a port of the loopback interface, for Prometheus: serves the text that was set last, from a thread of its
 * own, so that neither a request nor the coordinator waits for the other. No call blocks. */
#pragma once

#include "common/base/error.h"

struct metrics_server;

/* port 0: any that is free. ERROR_USAGE: it is taken, or may not be used. */
int metrics_server_create(struct metrics_server **ret, int port, struct error *e);
void metrics_server_destroy(struct metrics_server **s);
int metrics_server_port(const struct metrics_server *s);
void metrics_server_set(struct metrics_server *s, char *text); /* consumed */
