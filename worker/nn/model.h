/* SPDX-License-Identifier: Apache-2.0 */
/* Encoders for sequence classification (BERT: Devlin et al., 2019; the families of model_family.h as transformers' classes for
 * this task have them), forward and backward, on packed batches. All activations live in one arena sized at creation. A batch
 * with U > 0 is one of training: what backward needs is kept, except of layers that have no backward, which share one place. A
 * batch with U = 0 is one of evaluation: nothing is kept, and the same arena holds far more tokens.
 *
 * Checkpointing (Chen et al., 2016, arXiv 1604.06174): of each layer only the sum before its last norm is kept, from which the
 * next layer's input comes; the rest is computed again before the layer's backward, to the same bits.
 *
 * Behind the last attention only the first token of each row matters to the classifier, so in the last layer all but keys and
 * values is computed for first tokens alone.
 *
 * Dropout sites (philox.h): layer * 4 + one of the first three below; the fourth of layer 0 is that of the embeddings, the fourth
 * of layer 1 (also where there is no such layer) that of the pooled vectors, at position 0 of their row; the fourth of layer 2
 * that of an earlier dropout in the head; of the adapter of a layer's linear map 0x8000 + layer * 8 + its place in the layer. */
#pragma once

#include "worker/nn/packed.h"
#include "worker/nn/parameters.h"

struct model;

enum dropout_site {
    SITE_ATTENTION,
    SITE_ATTENTION_OUTPUT,
    SITE_FEED_FORWARD_OUTPUT,
    SITE_EMBEDDINGS,
    SITE_POOLED = 7,
    SITE_HEAD = 11
};

struct model_limits {
    size_t max_tokens, max_rows;               /* of one packed batch */
    bool training;                             /* false: no activations kept, backward not allowed */
    size_t evaluation_tokens, evaluation_rows; /* of one batch with U = 0, where more than the above; 0: the above */
    uint32_t lora_rank;                        /* of the parameters' adapters; 0: none */
    int lowest_trained;                        /* bucket, parameters_lowest_trained; 0: all activations are kept */
    bool checkpointing;
    device_memory arena; /* for activations, of at least model_bytes, for models that take turns; zeros: one of its own */
};

/* `p` is borrowed and must outlive the model. */
int model_create(struct model **ret, struct parameters *p, const struct model_config *c, const struct model_limits *limits,
                 struct error *e);
void model_destroy(struct model **m);
/* Of activations, before creation; parameters_bytes gives the rest. */
size_t model_bytes(const struct model_config *c, const struct model_limits *limits, enum precision precision);

struct model_dropout {
    bool on;
    uint64_t seed;
    uint32_t epoch;
};

/* Logits f32 (B,L), in device memory, valid until the next call. */
device_memory model_forward(struct model *m, const struct packed *b, struct model_dropout dropout);
/* Hidden states that a layer (0-based) gave in the last forward of a training batch, act (T,C); of the last layer those of first
 * tokens, act (B,C). Valid until the next call. For tests, of models that keep the activations of all layers. */
device_memory model_hidden(const struct model *m, uint32_t layer);

/* Loss of each row f32 (B), weighted, not divided (device memory); prepares dlogits for backward if the batch is of training.
 * weights f32 (L): class weights, or pos_weight when multi (DEVICE_NOTHING allowed then). shape: NULL: plain. */
device_memory model_loss(struct model *m, const struct packed *b, device_memory weights, bool multi,
                         const struct loss_shape *shape);

/* Callbacks during a backward. */
struct model_watcher {
    /* A bucket's gradient is complete (asked for, where the device works later), last layer first; the words (bucket =
     * parameters_buckets) come last. */
    void (*ready)(void *context, int bucket);
    void (*between)(void *context); /* between two operations, often: to progress communication */
    void *context;
};

/* After forward and loss of the same training batch: writes ("=") all gradients into `gradient`, an arena of parameters_gradients
 * + (U,C) floats. What is frozen has no gradient; layers below the lowest that is trained have no backward, and their buckets are
 * not told ready. */
void model_backward(struct model *m, const struct packed *b, device_memory gradient,
                    const struct model_watcher *watcher /* or NULL */);
