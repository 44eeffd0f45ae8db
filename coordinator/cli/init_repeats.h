/* SPDX-License-Identifier: Apache-2.0 */
/* What rows that repeat each other mean for the job that `muster init` writes: whatever `check` and `split` would stop at. */
#pragma once

#include "common/format/split.h"
#include "coordinator/data/records.h"

struct init_repeats {
    size_t rows;                                     /* that are not left out */
    size_t near;                                     /* repeat an earlier row's texts, nearly or exactly */
    size_t exact, conflicts;                         /* of these: exactly; exactly and with another label */
    size_t part_rows[PART_COUNT], leaks[PART_COUNT]; /* leaks: rows of validation and test whose texts are in train, too */
    size_t groups, shared_groups;                    /* shared: with rows in more than one part */
};

/* part (rows): of each row, where the data says it, else PART_TRAIN; PART_COUNT: the row is left out. All cores. */
int init_find_repeats(struct init_repeats *ret, const struct records *r, const uint8_t *part, struct error *e);
