/* SPDX-License-Identifier: Apache-2.0 */
/* TF32 (precision.h), which is for GPUs alone. */
#pragma once

#include "common/base/error.h"

int tf32_refuse(const char *device, struct error *e); /* that is no GPU: ERROR_USAGE */
