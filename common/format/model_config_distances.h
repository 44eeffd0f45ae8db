/* SPDX-License-Identifier: Apache-2.0 */
/* What config.json says of attention with a bias by distance (DeBERTa). For model_config.c. */
#pragma once

#include "common/format/model_config.h"

/* Into c, whose numbers and flags are read; nothing for other families. ERROR_USAGE by key. */
int model_config_read_distances(struct model_config *c, const struct json *j, const char *path, struct error *e);
