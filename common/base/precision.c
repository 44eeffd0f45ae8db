/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/precision.h"

#include <string.h>

const char *const precision_names[PRECISIONS + 1] = {
    [PRECISION_F32] = "f32", [PRECISION_BF16] = "bf16", [PRECISION_TF32] = "tf32"};

int precision_find(const char *name)
{
    for (int i = 0; i < PRECISIONS; i++)
        if (!strcmp(precision_names[i], name))
            return i;
    return -1;
}
