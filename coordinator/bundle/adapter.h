/* SPDX-License-Identifier: Apache-2.0 */
/* The adapter of a bundle: what PEFT reads beside adapter_model.safetensors. */
#pragma once

#include "coordinator/bundle/model_card.h"

bool adapter_is_published(const struct bundle_source *s); /* train.method "lora", publish.adapter "both" */
/* adapter_config.json, and README.md with the line that loads it and the sha256 of the base's weights. Caller destroys, frees. */
int adapter_describe(struct json **config, char **readme, const struct bundle_source *s, struct error *e);
