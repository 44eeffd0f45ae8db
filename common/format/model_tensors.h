/* SPDX-License-Identifier: Apache-2.0 */
/* The tensors of a model: its family's rows with the sizes of its configuration. */
#pragma once

#include "common/format/model_family.h"
#include "common/format/tensor_file.h"

struct model_tensor {
    char name[96]; /* as transformers has it: "bert.encoder.layer.0.attention.self.query.weight" */
    int dimensions;
    size_t shape[2], count;
    int bucket; /* 0: embeddings other than words; 1..layers; layers + 1: the head; layers + 2: the words */
    enum tensor_role role;
    bool is_bias, decays, adjacent;
};

/* Whether the configuration leaves a tensor out: its size is 0. */
bool tensor_row_is_absent(const struct tensor_row *row, const struct model_config *c);
/* All of them, by bucket; the words are the last. Writes unless `ret` is NULL; returns how many there are. */
size_t model_tensors(struct model_tensor *ret, const struct model_config *c);

/* found[i]: the tensor of the file that is tensors[i], by the names that pretrained.h knows; NULL where a head has none, or where
 * `new_classifier` and it is one of the classifier's. Types and shapes are checked: ERROR_DATA by name. */
int model_tensors_find(const struct tensor **found, const struct model_tensor *tensors, size_t count, const struct tensor_file *f,
                       const struct model_config *c, bool new_classifier, const char *path, struct error *e);
/* ERROR_DATA unless t is as `wanted` says. */
int model_tensor_check(const struct tensor *t, const struct model_tensor *wanted, const char *path, struct error *e);
