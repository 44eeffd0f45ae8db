/* SPDX-License-Identifier: Apache-2.0 */
/* The adapter of a bundle: what PEFT reads beside adapter_model.safetensors. */
#pragma once

#include "coordinator/bundle/model_card.h"

bool adapter_is_published(const struct bundle_source *s); /* train.method "lora", publish.adapter "both" or "separate" */
bool adapter_is_separate(const struct bundle_source *s);  /* and the weights are not */
/* Of the base: a hub name rather than where the cache of this machine has it, or a directory. */
const char *adapter_base_name(const struct bundle_source *s);
struct adapter_files {
    struct json *config, *base; /* adapter_config.json, base.json */
    char *readme;
};
/* What stands beside the weights: README.md has the lines that load them and the sha256 of the base's. */
int adapter_describe(struct adapter_files *ret, const struct bundle_source *s, struct error *e);
void adapter_files_free(struct adapter_files *f);
