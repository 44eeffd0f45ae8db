/* SPDX-License-Identifier: Apache-2.0 */
/* Assigns the rows of a step to its micro-batches so that each has about as many tokens, since ranks wait for the slowest:
 * longest first, each to the micro-batch with the fewest tokens that has room (ties: the lower one). A function of the rows
 * alone, whatever the number of ranks. */
#pragma once

#include <stdint.h>

struct row_length {
    uint32_t row, length; /* tokens */
};

struct assignment {
    uint64_t tokens;
    uint32_t rows;
};

/* items: the step's rows, all different; sorted in place. assignments: one a micro-batch. order: scratch, one a micro-batch. ret
 * (count): rows of the micro-batches back to back; all but the last have `micro_batch` rows. Allocates nothing. Returns the
 * number of comparisons, which grows as count * log(count): what a test can hold it to. */
uint64_t balance_micro_batches(uint32_t *ret, struct row_length *items, uint32_t count, uint32_t micro_batch,
                               struct assignment *assignments, uint32_t *order);
