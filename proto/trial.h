/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker group is asked to do: the contents of a lease. One table (trial_fields in trial.c) gives each field its name,
 * type and place; it becomes the lease message, the key of the trial's directory and the options attribute of its results. */
#pragma once

#include "common/base/lora_bias.h"
#include "common/base/schedule_kind.h"
#include "common/json/json.h"
#include "common/text/pair.h"

#include <stdint.h>

enum trial_kind {
    TRIAL_TRAIN, /* fine-tune; logits of the validation part after every epoch; best weights kept */
    TRIAL_SCORE  /* logits of `parts` with given weights */
};

struct trial {
    enum trial_kind kind;
    char *key;       /* "lr-2e-05_epochs-5"; "score-test" */
    char *directory; /* absolute: trials/<key> */
    char *dataset;   /* absolute path of the rows file */
    char *split;     /* absolute path of split.json; NULL (score): all rows are one part, PART_TEST */
    char *model;     /* absolute: pretrained directory (config.json, weights) or bundle */
    char *weights;   /* score: the safetensors to load; NULL: those of `model` */
    char *adapter;   /* directory of PEFT's adapter of these weights (score: of the base's); NULL: none */
    bool score_train, score_validation, score_test; /* score: which parts */
    bool multi;
    uint32_t labels;
    double *weights_by_class; /* (labels): class weights, or pos_weight when multi; NULL: ones */
    bool new_head;            /* train: the classifier in the model's weights is not used, but a new one */
    double *head_rows;        /* train: (labels): its rows in this order; NULL: as they are */
    double *head_bias;        /* train: (labels): where a new classifier's biases begin; NULL: 0 */
    uint64_t seed;
    double lr, weight_decay, clip, warmup; /* warmup: share of all steps */
    enum schedule_kind schedule;
    double layer_decay; /* of the learning rate, train/optimizer.h; 0, 1: none */
    char *freeze;       /* format/freeze.h; NULL: nothing */
    uint32_t lora_rank; /* 0: all weights are trained; the rest: format/lora.h */
    double lora_alpha, lora_dropout;
    bool lora_rslora, lora_freeze_head;
    enum lora_bias lora_bias;
    bool checkpointing; /* nn/model.h; the weights do not depend on it */
    char *lora_targets;
    double label_smoothing, focal_gamma; /* device/loss.h; 0, 0: plain cross-entropy */
    double dropout;                      /* < 0: as the model's config says */
    uint32_t epochs, batch, micro_batch, max_length;
    char precision[8];         /* of precision_names */
    int resume;                /* 1: resume from directory/checkpoint if there is one */
    uint32_t checkpoint_steps; /* saved after so many steps, besides at the end of each epoch; 0: not so */
    double checkpoint_minutes; /* likewise */
};

void trial_free(struct trial *t);
struct json *trial_to_json(const struct trial *t);
int trial_from_json(struct trial *ret, const struct json *j,
                    struct error *e); /* unknown or ill-typed: ERROR_FAILED with the field */
