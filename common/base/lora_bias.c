/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/lora_bias.h"

#include <stddef.h>
#include <string.h>

const char *const lora_bias_names[] = {"none", "all", "lora_only", NULL};

bool lora_bias_find(enum lora_bias *ret, const char *name)
{
    for (int i = 0; lora_bias_names[i]; i++)
        if (strcmp(lora_bias_names[i], name) == 0) {
            *ret = (enum lora_bias)i;
            return true;
        }
    return false;
}
