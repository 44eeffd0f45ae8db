/* SPDX-License-Identifier: Apache-2.0 */
/* results.h5: the logits of every finished trial, by row id, in one file. */
#pragma once

#include "coordinator/run.h"

int gather(const struct run *r, struct error *e);
