/* SPDX-License-Identifier: Apache-2.0 */
/* data.repeats: what becomes of rows that repeat others' texts, exactly or nearly (near_duplicates.h). */
#pragma once

#include "coordinator/data/near_duplicates.h"

struct repeats {
    uint64_t dropped; /* "drop": rows that went */
    uint64_t joined;  /* "group": rows whose group has become another's */
};

/* mode as data.repeats has it. "keep": nothing. "drop": of rows that repeat each other the first stays. "group": they are given
 * one group, and groups that share such rows become one, so that no part repeats another; the group's name is that of its first
 * row. near->root (rows) as near_duplicates_find made it; after "drop" it is of no use any more. */
struct repeats repeats_apply(struct records *r, const char *mode, const struct near_duplicates *near);
