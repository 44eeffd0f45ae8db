/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/device_kind.h"

#include <string.h>

const char *const device_names[DEVICES + 1] = {
    [DEVICE_AUTO] = "auto",       [DEVICE_CPU] = "cpu",  [DEVICE_CUDA] = "cuda", [DEVICE_CPU_REFERENCE] = "cpu_reference",
    [DEVICE_GUARDED] = "guarded", [DEVICE_FAKE] = "fake"};

int device_kind_find(const char *name)
{
    for (int i = 0; i < DEVICES; i++)
        if (!strcmp(device_names[i], name))
            return i;
    return -1;
}
