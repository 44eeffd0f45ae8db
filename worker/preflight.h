/* SPDX-License-Identifier: Apache-2.0 */
/* What the ranks of a group have to agree on before they work together: the same program, the same run directory. */
#pragma once

#include "common/base/sha256.h"
#include "worker/comm/communicator.h"

#include <stdbool.h>

struct preflight {
    char build[SHA256_HEX]; /* of the running program's file */
    char *places; /* rank 0: a line a rank, "rank 3: n2, cores 4-7", with a GPU ", GPU-..."; owned by the caller; NULL on the
                     others */
};

/* All ranks; ret is written in any case. ERROR_FAILED, on all of them, naming the host: its program is not that of rank 0, or its
 * `connection` file is not (the run directory is not shared). gpu: UUID of this rank's, or "". Clocks that differ are a warning. */
int preflight_check(struct preflight *ret, struct communicator *c, const char *connection, const char *gpu, struct error *e);

/* The clock of `who` is at `theirs` (seconds since 1970) now: warns if it is far from ours. Nothing depends on it. */
void preflight_compare_clocks(const char *who, double theirs);
