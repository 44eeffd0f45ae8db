/* SPDX-License-Identifier: Apache-2.0 */
/* All weights of a network as ONE table over flat arenas. A row of the table names a tensor as Hugging Face does, with its
 * shape, place and whether AdamW decays it; loader, checkpoint, optimiser, all-reduce and tests walk the table.
 *
 * Arenas hold the parameters in table order, each aligned to 64 bytes (gaps are zero in every arena: whoever makes a gradient
 * arena zeroes it once, backward never writes a gap), grouped in buckets that are contiguous: bucket 0 = embeddings other than
 * words, 1..layers = encoder layers, layers+1 = the head with the classifier; word embeddings stand apart at the end ("words"),
 * since their gradient is compact (U,E), E their width. Query, key, value weights of a layer are adjacent without gaps, so (3C,C)
 * is one matrix; so are their biases.
 *
 * Adapters stand between the head and the words in the arena, and behind the words in the table.
 *
 * Gradient and moment arenas hold what is trained and nothing else, in the same order and grouping: a frozen parameter has no
 * place in them. Where all is trained, places there are those in the value arena. */
#pragma once

#include "common/format/lora.h"
#include "common/format/model_tensors.h"
#include "worker/device/device.h"

enum adapter_part { ADAPTER_NONE, ADAPTER_A, ADAPTER_B };

struct parameter {
    char name[96]; /* "bert.encoder.layer.0.attention.self.query.weight" */
    int dimensions;
    size_t shape[2];
    size_t offset, count; /* elements in the value arena */
    size_t gradient;      /* place in gradient and moment arenas; PARAMETER_ABSENT: frozen */
    int bucket;
    enum tensor_role role;
    enum adapter_part adapter; /* not of the pretrained model: of the LoRA adapter of the linear map `role` */
    bool is_bias;
    bool decays;   /* not biases, not LayerNorm */
    bool adjacent; /* one matrix, or vector, with the one before */
    bool is_words;
};

#define PARAMETER_ABSENT SIZE_MAX

struct parameters;

/* What of a model is trained. */
struct tuning {
    struct lora lora;   /* rank above 0: adapters, and of the rest at most the head and biases */
    const bool *frozen; /* (layers + 2), by bucket; that of the embeddings includes the words. NULL: none */
};

/* training: with moments. All arenas start as zeros. `d` is borrowed and must outlive the parameters. */
int parameters_create(struct parameters **ret, struct device *d, const struct model_config *c, bool training, struct error *e);
/* For training, of what `t` says. */
int parameters_create_tuned(struct parameters **ret, struct device *d, const struct model_config *c, const struct tuning *t,
                            struct error *e);
/* To score with, over those of a base: of a model of its own that differs in its head alone. What `own` (parameters_count of c's)
 * says, the head, and what is one matrix with either have places of their own, and the values of the base at first; the rest is
 * the base's, which must outlive them. Of the arenas below they have none: parameters_value_at and parameters_shadow_at alone. */
int parameters_create_over(struct parameters **ret, const struct parameters *base, const struct model_config *c, const bool *own,
                           struct error *e);
void parameters_destroy(struct parameters **p);
/* Device memory before creation: of the arenas here and, when training, of so many gradient arenas for up to max_words; gradients
 * 0: no training. */
size_t parameters_bytes(const struct model_config *c, uint32_t gradients, enum precision precision, size_t max_words);
/* The same for training by parameters_create_tuned. */
size_t parameters_bytes_tuned(const struct model_config *c, const struct tuning *t, uint32_t gradients, enum precision precision,
                              size_t max_words);
struct device *parameters_device(const struct parameters *p);
const struct model_config *parameters_config(const struct parameters *p); /* what they were made of */
size_t parameters_count(const struct parameters *p);
const struct parameter *parameters_at(const struct parameters *p, size_t i);
const struct parameter *parameters_find(const struct parameters *p, const char *name); /* NULL: no such parameter */
/* Offset of the first tensor of that role in a bucket (words: whatever the bucket), or PARAMETER_ABSENT. */
size_t parameters_place(const struct parameters *p, int bucket, enum tensor_role role, bool is_bias);
/* Offset of the adapter of a linear map, or PARAMETER_ABSENT. */
size_t parameters_adapter(const struct parameters *p, int bucket, enum tensor_role role, enum adapter_part part);
const struct lora *parameters_lora(const struct parameters *p);
size_t parameters_base(const struct parameters *p); /* how many of them the pretrained model has: those before the adapters */
const struct parameter *parameters_words(const struct parameters *p); /* (V,E) */
size_t parameters_elements(const struct parameters *p);               /* of an arena, words and gaps included */
int parameters_buckets(const struct parameters *p);                   /* layers + 2 */
/* Of a gradient arena; count 0: all of it is frozen. */
void parameters_bucket_range(const struct parameters *p, int bucket, size_t *offset, size_t *count);
size_t parameters_dense(const struct parameters *p); /* elements before the words; words: (V,E) from there on */
/* Elements of a gradient arena before the words. */
size_t parameters_gradients(const struct parameters *p);
size_t parameters_moments(const struct parameters *p);        /* elements of a moment arena */
size_t parameters_gradient_words(const struct parameters *p); /* E: behind them, U rows of so many; 0: the words are frozen */
/* Place in a gradient arena of what is at `offset` in the value arena; PARAMETER_ABSENT: frozen, or `offset` is that. */
size_t parameters_gradient_place(const struct parameters *p, size_t offset);
int parameters_lowest_trained(const struct parameters *p); /* bucket; below it no gradient is needed */
/* The same of a model that is not made yet. */
int tuning_lowest_trained(const struct model_config *c, const struct tuning *t);
bool parameters_frozen(const struct parameters *p); /* some are */

/* Device arenas, f32 unless said; borrowed. Moments and seen: DEVICE_NOTHING unless training. A gradient arena is the trainer's:
 * (parameters_gradients) + (U,E) compact words behind it, for U up to max_words. */
device_memory parameters_value(const struct parameters *p);
device_memory parameters_shadow(const struct parameters *p); /* act (dense); the value itself in f32 */
/* The same of what is at a place, to the end of its matrix. */
device_memory parameters_value_at(const struct parameters *p, size_t offset);
device_memory parameters_shadow_at(const struct parameters *p, size_t offset);
device_memory parameters_first_moment(const struct parameters *p);
device_memory parameters_second_moment(const struct parameters *p);
device_memory parameters_seen(const struct parameters *p); /* u8 (V) */
void parameters_refresh(struct parameters *p);             /* shadow = rounded values, after loading */

/* Loads pretrained weights from model.safetensors or pytorch_model.bin, by the names that pretrained.h knows; other tensors
 * (heads such as cls.*, position_ids) are ignored; a missing classifier (and pooler) is made new: normal(0, initializer_range),
 * biases 0, by seed. Any other missing tensor, wrong shape or non-finite value is ERROR_DATA by name, and leaves the parameters
 * as they were. *report (freed by caller): one line: used, new, ignored. Loading refreshes the shadow. */
int parameters_load_pretrained(struct parameters *p, const char *path, uint64_t seed, char **report, struct error *e);
/* What becomes of a classifier in the weights. */
struct head_source {
    bool made_new;      /* ignored, and made new */
    const double *rows; /* (labels): its rows of weight and bias in this order; NULL: as they are */
    const double *bias; /* (labels): of one that is made new; NULL: 0 */
};
/* The same, the head by `head`; zeros in it: as parameters_load_pretrained. */
int parameters_load_file(struct parameters *p, const char *path, const struct head_source *head, uint64_t seed, char **report,
                         struct error *e);
/* From the weights in a model directory. */
int parameters_load_model(struct parameters *p, const char *directory, const struct head_source *head, uint64_t seed,
                          char **report, struct error *e);
/* A file of this program's own (checkpoint, bundle): every tensor must be there, by its own name. */
int parameters_load(struct parameters *p, const char *path, struct error *e);
/* To score with: all weights of a file (adapter NULL), or those of a base but for its head, and PEFT's adapter merged into them.
 */
int parameters_load_adapted(struct parameters *p, const char *weights, const char *adapter, struct error *e);
/* safetensors, metadata format=pt. Adapters are merged into the weights. */
int parameters_save(struct parameters *p, const char *path, struct error *e);
/* For PEFT: adapters, the head, trained or not, and biases that are trained, by its names. */
int parameters_save_adapter(struct parameters *p, const char *path, struct error *e);
/* What is trained alone, for a checkpoint; the rest is the pretrained model's, and loaded before. Saved by
 * safetensors_write_unsynced, as moments are. */
int parameters_load_trained(struct parameters *p, const char *path, struct error *e);
int parameters_save_trained(struct parameters *p, const char *path, struct error *e);
/* Of what is trained: "<name>.exp_avg", "<name>.exp_avg_sq", and "seen", unless the words are frozen. */
int parameters_save_moments(struct parameters *p, const char *path, struct error *e);
int parameters_load_moments(struct parameters *p, const char *path, struct error *e);
