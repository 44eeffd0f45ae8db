/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/tf32.h"

int tf32_refuse(const char *device, struct error *e)
{
    return error_set(e, ERROR_USAGE, "train.precision: \"tf32\" is for GPUs, and cluster.device is %s here; use f32 or bf16", device);
}
