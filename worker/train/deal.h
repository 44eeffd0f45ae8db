/* Deals the rows of a step out to its micro-batches so that each has about as many tokens, since ranks wait for the slowest:
 * longest first, each to the micro-batch with the fewest tokens that has room. A function of the rows alone, whatever the ranks.
 */
#pragma once

#include <stdint.h>

struct dealt {
    uint32_t row, length;
};

struct hand {
    uint64_t tokens;
    uint32_t rows;
};

/* items: the step's rows, sorted in place. hands: scratch, one a micro-batch. ret (count): micro-batches back to back; all but
 * the last hold `micro_batch` rows. Allocates nothing. */
void deal(uint32_t *ret, struct dealt *items, uint32_t count, uint32_t micro_batch, struct hand *hands);
