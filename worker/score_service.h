/* SPDX-License-Identifier: Apache-2.0 */
/* A scoring worker of `muster serve`: loads a bundle once and answers frames of rows (proto/scoring.h). */
#pragma once

#include "common/base/error.h"

struct score_service_options {
    const char *bundle;
    const char *device;
    int threads;
    int socket;
};

/* Blocks until the stream ends (0). What fails is also said to the other side. */
int score_service_run(const struct score_service_options *o, struct error *e);
