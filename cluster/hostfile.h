/* SPDX-License-Identifier: Apache-2.0 */
/* Host files as Open MPI reads them: one host a line, "name slots=N [max_slots=N]", "#" begins a comment; a host without slots=
 * has one slot for each line that names it. */
#pragma once

#include "common/base/error.h"

#include <stddef.h>

#define HOST_NAME 256 /* with NUL */

struct host_line {
    char name[HOST_NAME];
    int slots;
};

/* Each host once, in the order of the file; caller frees. ERROR_USAGE naming file and line, or a file without hosts. */
int hostfile_read(struct host_line **ret, size_t *count, const char *path, struct error *e);
