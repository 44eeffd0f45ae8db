/* SPDX-License-Identifier: Apache-2.0 */
/* What config.json says of single layers in the families where they differ: local or global attention, rotary positions, and the
 * pooling behind them. For model_config.c. */
#pragma once

#include "common/format/model_config.h"

/* Into c, whose numbers are read; nothing for other families. ERROR_USAGE by key. */
int model_config_read_layers(struct model_config *c, const struct json *j, const char *path, struct error *e);
