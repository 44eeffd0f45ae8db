/* SPDX-License-Identifier: Apache-2.0 */
/* What this process did when, in the events of Chrome's trace format (chrome://tracing, Perfetto): spans that nest on one track a
 * rank. Off until trace_start; then a span costs two looks at the clock and no memory, and the newest TRACE_SPANS are kept. For
 * the one thread that trains. */
#pragma once

#include <stdbool.h>

#define TRACE_SPANS 65536
#define TRACE_DEPTH 16 /* spans within spans; deeper ones are not kept */

extern bool trace_on; /* read it, do not write it */

void trace_start(void); /* takes the memory; now becomes time 0 of the track. Ranks start together, behind a barrier */
void trace_stop(void);  /* forgets all */

void trace_keep_begin(const char *name, int number);
void trace_keep_end(void);

/* name: a constant. number: shown behind it, or -1. Every begin has its end, on every way out. */
static inline void trace_begin(const char *name, int number)
{
    if (trace_on)
        trace_keep_begin(name, number);
}

static inline void trace_end(void)
{
    if (trace_on)
        trace_keep_end();
}

/* JSON objects with commas between them, of the spans that have ended and of the track's name; a file is
 * {"traceEvents": [objects of all ranks]}. Caller frees. */
char *trace_print(int rank, const char *host);
