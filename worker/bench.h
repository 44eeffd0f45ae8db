/* `muster bench`: what this machine does with the engine as trained with: tokens a second and the share of its own GEMM rate. */
#pragma once

#include "common/base/error.h"

/* arguments: --name value pairs (bench_help prints them), collective over the ranks of the communicator asked for. */
int bench_run(int count, char *const *arguments, struct error *e);
void bench_help(void);
