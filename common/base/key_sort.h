/* SPDX-License-Identifier: Apache-2.0 */
/* Rows in the order of 64-bit keys: what equal texts, near duplicates and fingerprints are found by. */
#pragma once

#include "common/base/error.h"

#include <stddef.h>
#include <stdint.h>

struct key_row {
    uint64_t key;
    uint32_t row;
};

/* By key, of equal ones by row. In place, on all cores. ERROR_STOPPED. */
int key_rows_sort(struct key_row *entries, size_t count, struct error *e);
void key_rows_sort_here(struct key_row *entries, size_t count); /* on this thread alone, to its end */
