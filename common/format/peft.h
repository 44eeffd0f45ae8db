/* SPDX-License-Identifier: Apache-2.0 */
/* A LoRA adapter as PEFT keeps it: a directory with adapter_config.json and adapter_model.safetensors or adapter_model.bin. Which
 * maps it adapts is what its tensors say, so that lists, patterns and "all-linear" of target_modules are all understood. Muster
 * puts base.json beside them: {"model": DIRECTORY or hub name, "weights_sha256": of the base's weights}. */
#pragma once

#include "common/base/lora_bias.h"
#include "common/base/sha256.h"
#include "common/format/lora.h"
#include "common/format/model_tensors.h"

#define PEFT_CONFIG "adapter_config.json"
#define PEFT_WEIGHTS "adapter_model.safetensors"
#define PEFT_BASE "base.json"

struct peft_config {
    uint32_t rank; /* of maps that rank_pattern does not name; likewise alpha */
    double alpha, dropout;
    bool rslora;
    enum lora_bias bias;
};

/* ERROR_DATA: not LoRA, or with something (DoRA, a bias of B, ...) that is not supported, by name. `place` is for messages. */
int peft_config_read(struct peft_config *ret, const struct json *j, const char *place, struct error *e);
/* Rank and scale of the adapter of a module ("bert.encoder.layer.0.attention.self.query"), by the patterns of j, which
 * peft_config_read has read into c. */
uint32_t peft_rank(const struct peft_config *c, const struct json *j, const char *module);
double peft_scale(const struct peft_config *c, const struct json *j, const char *module);

enum peft_part { PEFT_WHOLE /* in place of the model's: of a head, or a bias */, PEFT_A, PEFT_B };

/* A tensor of the adapter, and the tensor of the model that it belongs to. */
struct peft_tensor {
    const struct tensor *tensor;
    size_t index; /* among the model's */
    enum peft_part part;
    uint32_t rank; /* of A and B; likewise scale */
    double scale;
};

struct peft_adapter {
    struct peft_config config;
    char *path; /* of the weights */
    struct tensor_file *weights;
    struct peft_tensor *tensors; /* (count), A and B of a map in this order and next to each other */
    size_t count;
};

/* Opens and matches it with the model's tensors. new_classifier: the adapter's is left out; else it must have c->labels rows.
 * ERROR_DATA: a file is missing or cut, a tensor is not the model's, has another shape, or is not finite. */
int peft_open(struct peft_adapter **ret, const char *directory, const struct model_config *c, bool new_classifier,
              struct error *e);
void peft_close(struct peft_adapter **a);
/* Whether these are the adapters that `l` makes of the model, so that LoRA can go on from them. ERROR_USAGE. */
int peft_check_same(const struct peft_adapter *a, const struct lora *l, const struct model_config *c, struct error *e);
int peft_weights(char **ret, const char *directory, struct error *e); /* path; caller frees */

/* ERROR_DATA, with both digests, if base.json names other weights than those of the model directory. */
int peft_check_base(const char *directory, const char *model, struct error *e);
/* The weights of the base that base.json names, found and checked: a directory (relative: from the adapter's), or a hub name in
 * the local cache. Caller frees. ERROR_DATA. */
int peft_base_weights(char **ret, const char *directory, struct error *e);
