/* SPDX-License-Identifier: Apache-2.0 */
/* inference_config.json of a bundle. */
#pragma once

#include "coordinator/bundle/publish.h"

/* Without its history: a function of the run's results. Caller destroys. */
struct json *inference_config(const struct bundle_source *s);
