/* SPDX-License-Identifier: Apache-2.0 */
/* What inference_config.json and the files of weights say of a model, for a table of models. */
#pragma once

#include "common/json/json.h"

/* Sets what inference_config.json knows: model, method, fields, rule, versions. */
void zoo_describe(struct json *to, const struct json *inference);
bool zoo_most_probable(const struct json *inference); /* it decides for the most probable of more than two labels */
void zoo_copy(struct json *to, const char *key, const struct json *value); /* unless it is absent or null */
void zoo_set_above_zero(struct json *to, const char *key, double value);
/* Sets "parameters", "parameters_trained" and "bytes" as far as the directory's files tell. options: of the training; weights: a
 * file with all of the weights, adapter: one with those that LoRA trained; either may be missing. */
void zoo_describe_weights(struct json *to, const struct json *options, const char *weights, const char *adapter);
/* "title + snippet", "title | body" of a pair. Caller frees. */
char *zoo_fields(const struct json *text_a, const struct json *text_b);
