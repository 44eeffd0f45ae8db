/* SPDX-License-Identifier: Apache-2.0 */
/* Making a frozen protocol (protocol.h) from a job: its split, within limits, with the labels that are frequent in train. */
#pragma once

#include "common/format/split.h"
#include "coordinator/job/job.h"

struct protocol_summary {
    uint32_t rows[PART_COUNT], labels, dropped_labels, left_out;
    char sha256[65]; /* of parts and ids */
};

/* Splits the job's data as it says, keeps at most limits[part] rows of each part (0: all; a sample by the seed), drops labels
 * that fewer than data.min_label_count of the train part's rows have and rows that have no label left, and writes
 * <directory>/protocol.json. j->out is not touched; work files in <directory> go away. Blocks. ERROR_USAGE: the job's split is
 * frozen already; ERROR_DATA as data_check and data_split. */
int protocol_freeze(struct protocol_summary *ret, const struct job *j, const char *directory, const uint32_t limits[PART_COUNT],
                    struct error *e);
