/* SPDX-License-Identifier: Apache-2.0 */
/* The GPUs that this process sees, for the cuda device and for `muster doctor`. Starts no work on a GPU. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct buffer;

struct gpu {
    char name[256], uuid[48];               /* uuid: "GPU-...", as nvidia-smi prints it */
    int capability_major, capability_minor; /* compute capability */
    int multiprocessors;
    size_t memory;              /* bytes */
    bool prohibited, exclusive; /* compute mode: nobody may use it; one process alone */
};

/* Versions as CUDA counts them: 1000 major + 10 minor. */
struct gpu_software {
    bool built; /* with CUDA; else all is zero */
    int driver; /* highest CUDA that the driver knows; 0: no driver */
    int runtime;
};

struct gpu_software gpu_software(void);
/* How many GPUs; 0 also without a driver, with one older than the runtime, or in a build without CUDA: gpu_software tells which.
 */
int gpu_count(void);
/* index < gpu_count(). False: the driver does not tell; *ret is zero. */
bool gpu_find(struct gpu *ret, int index);
/* Lines for a person: software, then a line a GPU. NCCL's version is the communicator's. */
void gpu_describe(struct buffer *to);
