/* SPDX-License-Identifier: Apache-2.0 */
/* The GPUs that this process sees (CUDA_VISIBLE_DEVICES holds), and which of them is its own: for the cuda device and for `muster
 * doctor`. Starts no work on a GPU. */
#pragma once

#include "common/base/error.h"
#include "common/base/precision.h"

#include <stdbool.h>
#include <stddef.h>

struct buffer;

#define GPU_NAME 256
#define GPU_UUID 48

struct gpu {
    char name[GPU_NAME], uuid[GPU_UUID];    /* uuid: "GPU-...", as nvidia-smi prints it */
    int capability_major, capability_minor; /* compute capability */
    int multiprocessors;
    size_t memory;              /* bytes */
    bool prohibited, exclusive; /* compute mode: nobody may use it; one process alone */
};

/* Dense products a second in this precision, GFLOPS, of a GPU of this name, as NVIDIA's data sheet has it; 0: not in the table.
 */
double gpu_peak(const char *name, enum precision precision);

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

/* Whether a cuda device can be had here at all. ERROR_USAGE: this build has no CUDA. ERROR_FAILED: no driver, one that is older
 * than the runtime, or no GPU. */
int gpu_check(struct error *e);
int gpu_check_heads(size_t D, struct error *e); /* ERROR_USAGE: the cuda device's attention takes no heads of that size */
int gpu_enough(int processes, struct error *e); /* a visible GPU for each of them? ERROR_USAGE: no */
/* Before the first device: this process's place among those of its host that each take a GPU, from 0. Without it: 0. */
void gpu_use(int number);
/* Makes the GPU of that number this process's own; where one alone is visible, as to a task that SLURM has bound to its GPU, that
 * one (preflight.h finds ranks that then share it). Once found it stays. ERROR_USAGE: as of gpu_check, or more processes than
 * GPUs. ERROR_FAILED: as of gpu_check; it is prohibited, or another process has it for itself. */
int gpu_open(struct gpu *ret, struct error *e);
size_t gpu_memory_left(void);       /* bytes of the process's own GPU; 0: not known */
const struct gpu *gpu_opened(void); /* NULL: none */
void gpu_print_uuid(char text[GPU_UUID], const unsigned char uuid[16]);
/* Lines for a person: software, then a line a GPU. NCCL's version is the communicator's. */
void gpu_describe(struct buffer *to);
