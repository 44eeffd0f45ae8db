/* SPDX-License-Identifier: Apache-2.0 */
/* The CUDA runtime and cuBLASLt, or tests/emu's doubles of what is called of them. */
#pragma once

#ifdef MUSTER_EMULATED
#include "tests/emu/cublaslt.h"
#include "tests/emu/runtime.h"
#else
#include <cublasLt.h>
#include <cuda_runtime.h>
#endif
