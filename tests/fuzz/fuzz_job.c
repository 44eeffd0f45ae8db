/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a job file: refused with one line, or a job that is read back from its own job.json as the same job. */
#include "common/base/file.h"
#include "coordinator/job/job.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char path[64];

static void check_round_trip(const struct job *j)
{
    struct error e = {0};
    struct job again;
    if (json_write(path, j->resolved, &e) != 0 || job_read(&again, path, NULL, 0, &e) != 0) {
        fprintf(stderr, "a resolved job is refused: %s\n", e.message);
        abort();
    }
    if (strcmp(j->hash, again.hash) != 0)
        abort();
    job_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error e = {0};
    struct job j;
    if (!path[0])
        snprintf(path, sizeof path, "%s/fuzz_job.%d.json", directory_exists("/dev/shm") ? "/dev/shm" : "/tmp", (int)getpid());
    if (file_write(path, data, size, &e) != 0)
        abort();
    if (job_read(&j, path, NULL, 0, &e) == 0) {
        check_round_trip(&j);
        job_free(&j);
    } else if (e.kind != ERROR_USAGE || !e.message[0] || strchr(e.message, '\n')) {
        abort();
    }
    return 0;
}
