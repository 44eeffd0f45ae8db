/* SPDX-License-Identifier: Apache-2.0 */
/* A bundle: a directory that transformers loads (config.json, model.safetensors, tokenizer.json, vocab.txt,
 * tokenizer_config.json, special_tokens_map.json) and that carries its own decision rule (inference_config.json) and model
 * card (README.md), and known_rows.bin. It appears whole or not at all. */
#pragma once

#include "common/format/inference_config.h"
#include "common/format/model_config.h"
#include "common/format/training_rows.h"
#include "common/text/tokenizer.h"

#define BUNDLE_WEIGHTS "model.safetensors"
#define BUNDLE_ADAPTER "adapter"
#define BUNDLE_INFERENCE "inference_config.json"
#define BUNDLE_EVALUATION "evaluation.json"

/* What a bundle is made of; all borrowed. */
struct bundle_parts {
    const char *weights;         /* the trained safetensors: metadata format=pt, names as in transformers; NULL: the adapter is
                                  * all, and its base stays where it is */
    const char *model_directory; /* pretrained; for config.json */
    const struct model_config *model; /* as trained: dropouts, labels */
    const char *const *label_names;   /* (model->labels), all different */
    bool multi;
    const struct tokenizer *tokenizer;
    const struct json *inference;                     /* as inference_config.h says; id2label and label2id are put in here */
    const char *card;                                 /* text of README.md */
    const char *adapter;                              /* for PEFT, beside the weights: its safetensors; NULL: none */
    const struct json *adapter_config, *adapter_base; /* adapter_config.json, base.json */
    const char *adapter_card;
    const struct training_rows *known; /* NULL: the bundle does not tell */
    const char *evaluation;            /* text of evaluation.json; NULL: none */
};

/* Builds "<path>.tmp-<pid>" and renames it to `path`; a bundle that is there is exchanged for the new one at the end. ERROR_USAGE
 * if `path` is something else than a bundle; nothing is changed by a failure. */
int bundle_write(const char *path, const struct bundle_parts *parts, struct error *e);

struct bundle;

/* Reads all but the weights, checked; ERROR_DATA. A directory without inference_config.json is said to be no bundle. */
int bundle_open(struct bundle **ret, const char *path, struct error *e);
void bundle_close(struct bundle **b);
/* Borrowed until the bundle is closed. */
const struct label_set *bundle_labels(const struct bundle *b);
const struct decision_rule *bundle_decision(const struct bundle *b);
const struct json *bundle_inference(const struct bundle *b);

/* Of a bundle without weights of its own: *weights, those of its base, found and checked by their digest, and *adapter, the
 * directory; callers free. Both NULL: it has weights. ERROR_DATA. */
int bundle_base(char **weights, char **adapter, const char *path, struct error *e);
/* Of a bundle without weights of its own: a text that is the same of two whose base can be held once for both: the same weights,
 * precision and config.json but for labels and dropouts. Caller frees; NULL: it has weights. ERROR_DATA. */
int bundle_shared_base(char **ret, const char *path, struct error *e);

/* Replaces the inference_config.json of the bundle at `path`, checked as bundle_open does, atomically. */
int bundle_set_inference(const char *path, const struct json *inference, struct error *e);
