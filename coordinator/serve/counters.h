/* SPDX-License-Identifier: Apache-2.0 */
/* What a server counts, for Prometheus. Any thread may count. */
#pragma once

#include "common/base/buffer.h"

#include <stdint.h>

enum counted_time { TIME_REQUEST, TIME_TOKENIZE, TIME_QUEUE, TIME_INFERENCE, TIME_BATCH, TIMES };
enum counted_size { SIZE_BATCH_ROWS, SIZE_BATCH_TOKENS, SIZE_REQUEST_ROWS, SIZES };

struct counters;

void counters_create(struct counters **ret);
void counters_destroy(struct counters **c);
/* route: static text, of which there are few; status: of HTTP. */
void counters_request(struct counters *c, const char *route, int status);
void counters_refusal(struct counters *c, const char *error_type /* static */);
void counters_time(struct counters *c, enum counted_time what, double seconds);
void counters_size(struct counters *c, enum counted_size what, double value);
void counters_rows(struct counters *c, uint64_t rows, uint64_t tokens, uint64_t truncated);
void counters_left(struct counters *c); /* a request whose client has gone */

/* What is as it is at the moment. */
struct gauges {
    double queue_requests, queue_rows, queue_tokens, exchanges, connections, ready, restarts;
};
/* Appends text in Prometheus' format 0.0.4. */
void counters_print(struct buffer *to, struct counters *c, const struct gauges *g);
