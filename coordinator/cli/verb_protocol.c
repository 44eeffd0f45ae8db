/* SPDX-License-Identifier: Apache-2.0 */
/* muster protocol: freezes a job's rows, labels and split into a file that other jobs name in split.file. */
#include "common/base/file.h"
#include "coordinator/cli/verbs.h"
#include "coordinator/data/protocol_freeze.h"
#include "coordinator/job/job_paths.h"

#include <stdio.h>
#include <stdlib.h>

const struct option protocol_options[] = {
    {"output", 'o', "DIR", "protocol", "directory of protocol.json"},
    {"train", 0, "N", "0", "at most N rows in the train part, drawn by the seed; 0: all"},
    {"validation", 0, "N", "0", "likewise in the validation part"},
    {"test", 0, "N", "0", "likewise in the test part"},
    {NULL},
};

static int freeze(const struct job *j, const char *directory, const uint32_t limits[PART_COUNT], struct error *e)
{
    struct protocol_summary s;
    if (directory_create(directory, e) || protocol_freeze(&s, j, directory, limits, e))
        return -1;
    printf("protocol: %s/protocol.json\n  rows: train %u, validation %u, test %u; %u left out\n  labels: %u, and %u dropped\n"
           "  sha256 of parts and ids: %s\n  next: set split.file to it in each job\n",
           directory, s.rows[PART_TRAIN], s.rows[PART_VALIDATION], s.rows[PART_TEST], s.left_out, s.labels, s.dropped_labels,
           s.sha256);
    return 0;
}

int verb_protocol(const struct arguments *a, struct error *e)
{
    uint32_t limits[PART_COUNT];
    struct job j;
    for (int p = 0; p < PART_COUNT; p++) {
        int limit;
        if (argument_whole(&limit, a, part_names[p], 0, 1000000000, e))
            return -1;
        limits[p] = (uint32_t)limit;
    }
    if (job_read(&j, a->positional[0], a->positional + 1, a->count - 1, e))
        return -1;
    int result = job_paths_check(&j, e);
    if (result)
        error_prefix(e, "%s: ", a->positional[0]);
    else
        result = freeze(&j, argument(a, "output"), limits, e);
    job_free(&j);
    return result;
}
