/* SPDX-License-Identifier: Apache-2.0 */
/* What a Hugging Face model directory says of itself (config.json), checked: an unsupported model_type, activation, position
 * type or a size out of bounds is refused by name (ERROR_USAGE, since the job file names the model). */
#pragma once

#include "common/base/error.h"
#include "common/json/json.h"

#include <stdbool.h>
#include <stdint.h>

enum activation { ACTIVATION_NONE, ACTIVATION_GELU, ACTIVATION_GELU_NEW, ACTIVATION_RELU, ACTIVATION_TANH };

#define MODEL_LAYERS_MAX 1024

struct model_config {
    uint32_t family; /* row of model_families (model_family.h); 0: bert */
    uint32_t layers, width, heads, inner, vocabulary, positions, types, labels;
    uint32_t embedding_width;   /* 0: width; see model_config_embedding_width */
    uint32_t pad;               /* id of the padding token, for positions counted from behind it */
    uint32_t padding;           /* 1 + the id whose rows of the tables have no gradient (torch's padding_idx); 0: none */
    enum activation activation; /* of the feed-forward: gelu (erf), gelu_new (tanh form), relu */
    float epsilon;              /* of LayerNorm */
    float hidden_dropout, attention_dropout, classifier_dropout;  /* classifier: in the head, wherever it has dropout */
    float embedding_dropout;                                      /* where the family has a key for it; else hidden_dropout's */
    float initializer_range, initializer_cutoff;                  /* cutoff: in standard deviations; 0: none */
    bool attention_bias, feed_forward_bias, norm_bias, head_bias; /* where the family leaves it open */
    bool pools_mean;                                              /* of a row's tokens; else its first token */
    float theta, local_theta;                                     /* of rotary positions, of global and local layers */
    bool position_table;                                          /* where the family leaves open whether there is one */
    uint32_t distances, buckets, farthest;       /* of attention with a bias by distance, see model_distance_place; 0: without */
    bool distance_keys, distance_queries;        /* queries meet keys of distances; keys meet queries of distances */
    bool distances_shared, distances_normalized; /* by the maps of tokens' keys and queries; their embeddings have a norm */
    float pooler_dropout;                        /* before the head's linear map, where the family has a key for it */
    uint32_t windows[MODEL_LAYERS_MAX];          /* tokens to either side that a local layer sees; 0: a global layer */
};

static inline bool model_config_is_local(const struct model_config *c, uint32_t layer)
{
    return c->windows[layer] > 0;
}

static inline uint32_t model_config_embedding_width(const struct model_config *c)
{
    return c->embedding_width ? c->embedding_width : c->width;
}

/* The embedding, 0 to 2 distances - 1, of a key that stands `distance` tokens before its query (DeBERTa: He et al., 2021).
 * buckets 0: all distances are told apart up to `distances`; else those up to buckets / 2, and farther ones by their logarithm.
 */
uint32_t model_distance_place(const struct model_config *c, int32_t distance);
/* The most tokens of a row: RoBERTa's table of positions begins behind the padding's. */
uint32_t model_config_max_length(const struct model_config *c);
/* Of the encoder and the head: what train.dropout says. */
void model_config_set_dropout(struct model_config *c, float probability);

/* Resolves a job's "model": an existing directory is taken as it is; otherwise a hub name ("org/name") is looked up in the
 * local Hugging Face cache (HF_HUB_CACHE, else HF_HOME/hub, else ~/.cache/huggingface/hub; refs/main -> snapshots/), never over
 * the network. Caller frees *ret. ERROR_USAGE when not there; the text gives the command that downloads it. */
int model_directory_find(char **ret, const char *model, struct error *e);
/* model.safetensors if there, else its index, pytorch_model.bin or its index; caller frees. */
int model_directory_weights(char **ret, const char *directory, struct error *e);

int model_config_read(struct model_config *ret, const char *directory, struct error *e); /* labels = id2label's size, or 2 */
/* config.json of a bundle: the pretrained directory's own with architectures = the family's class for this task, id2label,
 * label2id, problem_type, dtype float32 and c's dropouts put in. Caller destroys. */
int model_config_for_bundle(struct json **ret, const char *directory, const struct model_config *c,
                            const char *const *label_names, bool multi, struct error *e);
