/* SPDX-License-Identifier: Apache-2.0 */
/* Work on all cores that this process may use: over blocks of an index range, and ahead of a reader that wants it in order. */
#pragma once

#include "common/base/error.h"

#include <stdbool.h>
#include <stddef.h>

int parallel_threads(void); /* cores that this process may run on; at least 1, at most 256 */

/* Calls work(context, begin, end) once for each block of [0, count), from several threads at a time; returns when all are done.
 * Threads that cannot be had are done without. ERROR_STOPPED: a stop was asked for, and blocks may be left out. */
int parallel_blocks(size_t count, size_t block, void (*work)(void *context, size_t begin, size_t end), void *context,
                    struct error *e);

/* Slots that are filled ahead by helpers and handed out in order by ordered_next, which fills the next one itself where no helper
 * has begun it. With one thread it is the same without helpers. */
struct ordered;

struct ordered_work {
    bool (*take)(void *context,
                 void *slot); /* what the slot is for; by one thread at a time, in order. false: there is no more */
    void (*make)(void *context, void *slot); /* by any thread */
    void *context;                           /* these borrow */
    int threads;                             /* the caller's one included */
};

/* For `take`, where slots are for up to `most` each of `count` in a row, *taken of which have been taken: how many are the next
 * slot's, from *start on; 0: no more, or a stop is asked for. */
size_t ordered_block(size_t *start, size_t *taken, size_t count, size_t most);
/* slots: slot_count (at least 1) of slot_size bytes each, which the caller owns. Helpers begin with the first ordered_next. */
void ordered_create(struct ordered **ret, const struct ordered_work *work, void *slots, size_t slot_count, size_t slot_size);
/* The next slot, filled, the caller's until the next call; NULL: there is no more. One thread only. */
void *ordered_next(struct ordered *o);
void ordered_destroy(struct ordered **o); /* waits for what helpers have begun */
