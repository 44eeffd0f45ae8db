/* SPDX-License-Identifier: Apache-2.0 */
/* What this machine's own multiply-add instructions can do: the yardstick of training and inference. */
#pragma once

#include "common/base/precision.h"

struct peak {
    double gflops;            /* 1e9 floating-point operations a second over all threads, 2 a multiply-add */
    const char *instructions; /* "AVX2 FMA", "AVX-512 FMA", "AVX-512 bf16", "AMX bf16", "baseline" */
};

/* The fastest instruction that products in this precision may use: for f32 the widest multiply-add; for bf16 that, the dot
 * product of AVX-512 or the tiles of AMX. Loops in registers on `threads` threads (>= 1) at once, the best of several short ones,
 * so that what another process takes of the machine is not taken for its peak. Blocks for a tenth of a second an instruction. */
struct peak peak_measure(enum precision precision, int threads);
