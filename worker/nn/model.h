/* BERT for sequence classification (Devlin et al., 2019; transformers' BertForSequenceClassification), forward and backward,
 * on packed batches. Activations for backward are kept in an arena sized at creation for max_tokens and max_rows. */
#pragma once

#include "worker/nn/packed.h"
#include "worker/nn/parameters.h"

struct model;

struct model_limits {
    size_t max_tokens, max_rows; /* of one packed batch */
    bool training;               /* false: no activations kept, backward not allowed */
};

int model_create(struct model **ret, struct parameters *p, const struct model_config *c, const struct model_limits *limits, struct error *e);
void model_destroy(struct model **m);
size_t model_bytes(const struct model_config *c, const struct model_limits *limits, enum precision precision); /* of activations, before creation */

struct model_dropout {
    bool on;
    uint64_t seed;
    uint32_t epoch;
};

/* Logits f32 (B,L), in device memory, valid until the next call. */
device_memory model_forward(struct model *m, const struct packed *b, struct model_dropout dropout);
/* Hidden states of the last layer, act (T,C), valid until the next call. For tests. */
device_memory model_hidden(const struct model *m);

/* Loss of each row f32 (B), weighted, not divided (device memory); prepares dlogits for backward if the model is training.
 * weights f32 (L): class weights, or pos_weight when multi (DEVICE_NOTHING allowed then). */
device_memory model_loss(struct model *m, const struct packed *b, device_memory weights, bool multi);

/* After forward and loss of the same batch: writes ("=") all gradients into `gradient`, an arena of parameters_dense + (U,C) floats. ready(context,
 * bucket) is called when a bucket's gradient is complete, last layer first; the words (bucket = parameters_buckets) come last. */
void model_backward(struct model *m, const struct packed *b, device_memory gradient, void (*ready)(void *context, int bucket), void *context);
