/* SPDX-License-Identifier: Apache-2.0 */
/* LoRA (Hu et al., 2021) as PEFT has it: which linear maps of a model get an adapter, and the names that PEFT's files give
 * things. */
#pragma once

#include "common/base/lora_bias.h"
#include "common/format/model_family.h"

#define LORA_PREFIX "base_model.model."
#define LORA_ALL "all-linear"
#define LORA_ATTENTION "attention"

struct lora {
    uint32_t rank; /* 0: no adapters */
    double alpha, dropout;
    bool rslora;     /* scale alpha / sqrt(rank) instead of alpha / rank */
    bool train_head; /* else the head is frozen like the rest, with its biases */
    enum lora_bias bias;
    bool adapted[ROLE_COUNT];
};

double lora_scale(const struct lora *l);
/* A linear map of an encoder layer that can be adapted. */
bool lora_takes(enum tensor_role role);
bool lora_is_head(enum tensor_role role); /* what train_head trains */
/* targets: suffixes of module names as PEFT's target_modules ("query", "attention.output.dense"), separated by blanks; LORA_ALL
 * or NULL: all linear maps of the layers; LORA_ATTENTION: those of attention, whatever the family calls them. ERROR_USAGE naming a target that matches nothing, with "did you mean". */
int lora_read_targets(bool adapted[ROLE_COUNT], const char *targets, const struct model_config *c, struct error *e);
/* PEFT's target_modules for what is adapted, so that it hits this and nothing else: the module's name in a layer, such as
 * "attention.self.query". Separated by blanks; caller frees. */
char *lora_target_modules(const bool adapted[ROLE_COUNT], const struct model_config *c);
/* PEFT's modules_to_save of the head, all of it: "classifier", "bert.pooler.dense". Separated by blanks; caller frees. */
char *lora_head_modules(const struct model_config *c);
