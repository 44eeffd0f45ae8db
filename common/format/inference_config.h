/* SPDX-License-Identifier: Apache-2.0 */
/* inference_config.json of a bundle: how logits become decisions, and what the model was made of and by. Checked keys:
 *   max_length     whole number, 3 to the model's positions; required
 *   temperature    1e-6 to 1e6; logits are divided by it; absent: 1
 *   temperatures   object label name -> the same, for all labels, in its place
 *   threshold      within [0, 1]: a label (or, with two classes, the positive one) is predicted if p >= threshold; absent: 0.5
 *   thresholds     object label name -> within [0, 1], for all labels, in its place; multi-label only
 *   positive       label name of the positive class, of two; absent: the last one
 *   id2label, label2id   required; the same as in config.json
 * Everything else is kept as it is. */
#pragma once

#include "common/json/json.h"

#include <stdint.h>

struct decision_rule {
    double temperature;   /* of labels without their own */
    double *temperatures; /* (labels), owned; those that count */
    bool own_temperatures;
    double *thresholds; /* (labels), owned; single label of two: only that of `positive` counts; of more: none, highest wins */
    uint32_t positive, max_length;
};

/* Labels of a model, as config.json has them. */
struct label_set {
    char **names; /* (count), owned */
    uint32_t count;
    bool multi;
};

/* `positions`: of the model. ERROR_DATA with `place` and the key. */
int decision_rule_read(struct decision_rule *ret, const struct json *inference, const struct label_set *labels,
                       uint32_t positions, const char *place, struct error *e);
void decision_rule_free(struct decision_rule *d);

/* From config.json: id2label, problem_type. ERROR_DATA. */
int label_set_read(struct label_set *ret, const struct json *config, const char *place, struct error *e);
void label_set_free(struct label_set *l);
/* Sets id2label and label2id of `to`. */
void label_names_write(struct json *to, const char *const *names, uint32_t count);
