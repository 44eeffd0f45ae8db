/* SPDX-License-Identifier: Apache-2.0 */
/* What a Hugging Face model directory says of itself (config.json), checked: an unsupported model_type, activation, position
 * type or a size out of bounds is refused by name (ERROR_USAGE, since the job file names the model). */
#pragma once

#include "common/base/error.h"
#include "common/json/json.h"

#include <stdint.h>

enum activation { ACTIVATION_NONE, ACTIVATION_GELU, ACTIVATION_GELU_NEW, ACTIVATION_RELU, ACTIVATION_TANH };

struct model_config {
    uint32_t layers, width, heads, inner, vocabulary, positions, types, labels;
    enum activation activation;                                  /* of the feed-forward: gelu (erf), gelu_new (tanh form), relu */
    float epsilon;                                               /* of LayerNorm */
    float hidden_dropout, attention_dropout, classifier_dropout; /* classifier: hidden_dropout where config has null */
    float initializer_range;
};

/* Resolves a job's "model": an existing directory is taken as it is; otherwise a hub name ("org/name") is looked up in the
 * local Hugging Face cache (HF_HUB_CACHE, else HF_HOME/hub, else ~/.cache/huggingface/hub; refs/main -> snapshots/), never over
 * the network. Caller frees *ret. ERROR_USAGE when not there; the text gives the command that downloads it. */
int model_directory_find(char **ret, const char *model, struct error *e);
/* model.safetensors if there, else pytorch_model.bin; caller frees. */
int model_directory_weights(char **ret, const char *directory, struct error *e);

int model_config_read(struct model_config *ret, const char *directory, struct error *e); /* labels = id2label's size, or 2 */
/* config.json of a bundle: the pretrained directory's own with architectures = BertForSequenceClassification, id2label, label2id,
 * problem_type, dtype float32 and c's dropouts put in. Caller destroys. */
int model_config_for_bundle(struct json **ret, const char *directory, const struct model_config *c,
                            const char *const *label_names, bool multi, struct error *e);
