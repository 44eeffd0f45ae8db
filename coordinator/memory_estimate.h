/* SPDX-License-Identifier: Apache-2.0 */
/* What training will take of a rank's memory: the worker's own estimate, asked before anything is trained. */
#pragma once

#include "coordinator/run.h"

/* One line, of the baseline. Nothing where the worker cannot tell: it says why when it is to train. */
void memory_print(const struct run *r);
