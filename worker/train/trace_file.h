/* SPDX-License-Identifier: Apache-2.0 */
/* The trace of a group as one file, for chrome://tracing and Perfetto. */
#pragma once

#include "worker/comm/communicator.h"

/* All ranks: their clocks' zero is behind a barrier, so the tracks of several hosts agree to that. */
int trace_file_begin(struct communicator *c, struct error *e);
/* All ranks: rank 0 writes the spans of all to `path`, whole or not at all; then tracing is off. */
int trace_file_write(const char *path, struct communicator *c, struct error *e);
