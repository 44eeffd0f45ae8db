/* SPDX-License-Identifier: Apache-2.0 */
/* muster init: how many rows at once fit into this machine's memory. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is to be trained, at its largest: rows of max_length tokens. */
struct init_training {
    const char *model; /* directory */
    const char *precision;
    bool multi;
    uint32_t vocabulary, labels, batch, max_length;
};

struct init_memory {
    uint32_t micro_batch; /* the batch, or the largest half, quarter, eighth .. of it that fits; 1: perhaps not even that fits */
    size_t needed, allowed; /* bytes: of a rank with that micro-batch, at most; half of `available` */
    size_t available;       /* of this machine, and of the control group of this process */
};

/* False where that is not known: no worker next to this program, a model that it does not train. Blocks while the worker is
 * asked. */
bool init_fit_memory(struct init_memory *ret, const struct init_training *t);
