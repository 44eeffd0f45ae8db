/* SPDX-License-Identifier: Apache-2.0 */
/* The spans of this process: a ring of those that have ended, a stack of those that have not. */
#include "common/base/trace.h"

#include "common/base/buffer.h"
#include "common/base/clock.h"
#include "common/base/memory.h"

#include <stdint.h>
#include <stdlib.h>

struct span {
    const char *name;
    int number;
    int64_t begin, end; /* nanoseconds since trace_start: whole, so that printed spans nest as they did */
};

bool trace_on;
static struct span *ring, stack[TRACE_DEPTH];
static uint64_t ended; /* ever; the ring holds the last of them */
static int depth;
static double zero;

static int64_t now(void)
{
    return (int64_t)((clock_seconds() - zero) * 1e9);
}

void trace_start(void)
{
    if (!ring)
        ring = allocate(TRACE_SPANS, sizeof *ring);
    ended = 0;
    depth = 0;
    zero = clock_seconds();
    trace_on = true;
}

void trace_stop(void)
{
    trace_on = false;
    free(ring);
    ring = NULL;
    ended = 0;
}

void trace_keep_begin(const char *name, int number)
{
    if (depth < TRACE_DEPTH)
        stack[depth] = (struct span){name, number, now(), 0};
    depth++;
}

void trace_keep_end(void)
{
    if (depth == 0 || --depth >= TRACE_DEPTH)
        return;
    struct span *s = &ring[ended++ % TRACE_SPANS];
    *s = stack[depth];
    s->end = now();
}

static void print_span(struct buffer *b, const struct span *s, int rank)
{
    buffer_printf(b, ",\n{\"name\":\"%s", s->name);
    if (s->number >= 0)
        buffer_printf(b, " %d", s->number);
    int64_t size = s->end - s->begin;
    buffer_printf(b, "\",\"ph\":\"X\",\"ts\":%lld.%03d,\"dur\":%lld.%03d,\"pid\":%d,\"tid\":0}", (long long)(s->begin / 1000),
                  (int)(s->begin % 1000), (long long)(size / 1000), (int)(size % 1000), rank);
}

char *trace_print(int rank, const char *host)
{
    struct buffer b = {0};
    uint64_t first = ended > TRACE_SPANS ? ended - TRACE_SPANS : 0;
    buffer_printf(&b, "{\"name\":\"process_name\",\"ph\":\"M\",\"pid\":%d,\"tid\":0,\"args\":{\"name\":\"rank %d on %s\"}}", rank,
                  rank, host);
    if (first)
        buffer_printf(&b,
                      ",\n{\"name\":\"process_labels\",\"ph\":\"M\",\"pid\":%d,\"tid\":0,\"args\":{\"labels\":\"the first %llu "
                      "spans are omitted\"}}",
                      rank, (unsigned long long)first);
    for (uint64_t i = first; i < ended; i++)
        print_span(&b, &ring[i % TRACE_SPANS], rank);
    return b.data;
}
