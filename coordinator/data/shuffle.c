/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/data/shuffle.h"

#include "common/base/key_sort.h"
#include "common/base/memory.h"

#include <stdlib.h>

void shuffle_numbers(uint32_t *numbers, size_t count, uint64_t seed, enum random_purpose purpose, uint32_t salt)
{
    struct key_row *keys = allocate(count, sizeof *keys);
    for (size_t i = 0; i < count; i++) {
        struct philox_block b = philox(seed, purpose, numbers[i], salt, 0, 0);
        keys[i] = (struct key_row){(uint64_t)b.word[0] << 32 | b.word[1], numbers[i]};
    }
    key_rows_sort_here(keys, count);
    for (size_t i = 0; i < count; i++)
        numbers[i] = keys[i].row;
    free(keys);
}

uint32_t *shuffle_ranks(uint32_t count, uint64_t seed, enum random_purpose purpose, uint32_t salt)
{
    uint32_t *order = allocate(count, sizeof *order), *ranks = allocate(count, sizeof *ranks);
    for (uint32_t i = 0; i < count; i++)
        order[i] = i;
    shuffle_numbers(order, count, seed, purpose, salt);
    for (uint32_t i = 0; i < count; i++)
        ranks[order[i]] = i;
    free(order);
    return ranks;
}
