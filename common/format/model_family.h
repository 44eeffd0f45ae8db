/* SPDX-License-Identifier: Apache-2.0 */
/* The supported model families, a row each: how config.json spells what the network needs, which tensors the weights hold, and in
 * which order the parts of the network work. A family whose parts are all there is added by a row here and nothing else; see
 * docs/architecture.md. */
#pragma once

#include "common/format/model_config.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>

/* What a tensor is to the network. Of a linear map or a norm the weight and the bias have the same role. */
enum tensor_role {
    ROLE_WORDS,
    ROLE_POSITIONS,
    ROLE_TYPES,
    ROLE_EMBEDDING_NORM,
    ROLE_EMBEDDING_PROJECTION, /* from the width of the embeddings to that of the layers */
    ROLE_QUERY,                /* the first of three adjacent ones: (3C,C) is one matrix, so are the biases */
    ROLE_KEY,
    ROLE_VALUE,
    ROLE_GLOBAL_QUERY, /* of rows' first tokens where those see and are seen by all; keys and values follow as above */
    ROLE_GLOBAL_KEY,
    ROLE_GLOBAL_VALUE,
    ROLE_ATTENTION_OUTPUT,
    ROLE_ATTENTION_NORM,
    ROLE_INNER,
    ROLE_OUTPUT,
    ROLE_OUTPUT_NORM,
    ROLE_FINAL_NORM, /* behind the last layer of a family with pre-norm */
    ROLE_HEAD_LINEAR,
    ROLE_HEAD_NORM,
    ROLE_CLASSIFIER,
    ROLE_DISTANCES, /* embeddings of distances, and the norm behind them */
    ROLE_DISTANCES_NORM,
    ROLE_DISTANCE_QUERY, /* maps of them that are not those of tokens: one matrix, where there are both */
    ROLE_DISTANCE_KEY,
    ROLE_COUNT
};

enum tensor_flags {
    TENSOR_DECAYS = 1,   /* AdamW's weight decay: not biases, not norms */
    TENSOR_ADJACENT = 2, /* no gap before it */
    TENSOR_BIAS = 4,
    TENSOR_NOT_FIRST = 8, /* absent from layer 0 */
};

/* shape: letters of the configuration. C width, E width of the embeddings, F inner, V words, P positions, Y types, L labels; J is
 * E, and K is C, where these two differ, else 0; Q 3C and G 2F. T is P where there is a table of positions. Of distances: S is
 * how many embeddings there are, N is C where they have a norm, U where they have a map to queries of their own, X to keys. Small
 * letters are of biases that the configuration may leave out (0): q of attention (3C), a of its output, g of the feed-forward
 * (2F), f of its output, n of norms, h of the head's linear map. A tensor with a size of 0 is absent. */
struct tensor_row {
    enum tensor_role role;
    const char *name; /* NULL ends the list; behind the family's prefix, in a layer also behind its layer_prefix */
    char shape[3];
    unsigned flags;
};

/* A number of config.json. */
struct config_key {
    const char *name, *also; /* also: another spelling, or NULL */
    size_t field;            /* offset in struct model_config: uint32_t if whole, else float */
    double standard;         /* transformers' default for an absent key; NAN: the key must be there */
    double least, most;
    bool whole;
};

#define CONFIG_REQUIRED NAN

/* A true or false of config.json. */
struct config_flag {
    const char *name; /* NULL ends the list */
    size_t field;     /* offset in struct model_config, of a bool */
    bool standard;
};

/* What stands between the pooled vectors (B,C) and the classifier, in order. */
enum head_step_kind { HEAD_END, HEAD_LINEAR, HEAD_DROPOUT, HEAD_NORM };

struct head_step {
    enum head_step_kind kind;
    enum activation activation; /* behind the linear map */
};

#define HEAD_STEPS 4

enum position_count {
    POSITIONS_FROM_ZERO,
    POSITIONS_ROTARY,    /* no table: queries and keys are rotated */
    POSITIONS_RELATIVE,  /* scores have a bias by distance; a table of positions may be there, too */
    POSITIONS_AFTER_PAD, /* RoBERTa: from pad_token_id + 1, and only tokens other than padding count */
};

struct model_family {
    const char *model_type;
    const char *class_prefix; /* transformers' class for this task is that and "ForSequenceClassification" */
    const char *prefix;       /* "bert." */
    const char *layer_prefix; /* behind the prefix: "encoder.layer.%u." */
    const char *words;        /* behind the prefix */
    const struct config_key *keys;
    const struct config_flag *flags; /* or NULL */
    const char *activation_key;      /* of the feed-forward part */
    const char *head_dropout_key;
    double head_dropout;                        /* where that is absent or null; NAN: as hidden_dropout */
    const struct tensor_row *embedding, *layer; /* names behind the prefixes */
    const struct tensor_row *head;              /* names in full */
    struct head_step steps[HEAD_STEPS];         /* up to HEAD_END */
    enum position_count positions;
    uint32_t padding;  /* pad_token_id where config.json does not say it */
    bool pre_norm;     /* norms stand before attention and feed-forward, whose activation is gated; layers are local or
                        * global; pooling is the configuration's */
    bool global_first; /* layers are local but for each row's first token, which has linear maps of its own (Longformer) */
    bool pair_types;   /* the second text of a pair has type 1 */
    bool plain_attention_output; /* no dropout behind the attention's output map */
};

extern const struct model_family model_families[]; /* up to model_type NULL */
const struct model_family *model_family_of(const struct model_config *c);
/* Of the classifier's weight, as transformers names it. */
const char *model_family_classifier(const struct model_family *f);
void model_family_names(char *to, size_t size); /* "bert, distilbert, ...", for messages */
/* The key of config.json for that field of struct model_config (its offset), in the usual spelling; NULL: none. */
const char *model_family_key(const struct model_family *f, size_t field);
