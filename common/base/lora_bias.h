/* SPDX-License-Identifier: Apache-2.0 */
/* Which biases LoRA trains besides its adapters and the head, by PEFT's names: the one list. */
#pragma once

#include <stdbool.h>

enum lora_bias {
    LORA_BIAS_NONE,
    LORA_BIAS_ALL,    /* of the whole model, norms' too */
    LORA_BIAS_ADAPTED /* "lora_only": of linear maps that have an adapter */
};

extern const char *const lora_bias_names[]; /* NULL at the end */

bool lora_bias_find(enum lora_bias *ret, const char *name);
