/* SPDX-License-Identifier: Apache-2.0 */
/* A scoring worker of `muster serve`: loads a bundle, or several that share a base, once and answers frames of rows (proto/scoring.h). */
#pragma once

#include "common/base/error.h"

#include <stddef.h>

struct score_service_options {
    const char *const *bundles;
    size_t count; /* several: their base is one (bundle_shared_base) */
    const char *device;
    int threads;
    int socket;
};

/* Blocks until the stream ends (0). What fails is also said to the other side. */
int score_service_run(const struct score_service_options *o, struct error *e);
