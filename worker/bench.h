/* SPDX-License-Identifier: Apache-2.0 */
/* `muster bench`: tokens per second of the training engine on this machine, and the share of the processor's peak. */
#pragma once

#include "common/base/options.h"

extern const struct option bench_options[];

/* Collective over the ranks of the communicator that --comm names. Rank 0 prints one line of JSON on standard output. */
int bench_run(const struct arguments *a, struct error *e);
