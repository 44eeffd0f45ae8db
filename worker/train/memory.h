/* SPDX-License-Identifier: Apache-2.0 */
/* What a trial will take of a rank's memory, before any of it is taken. */
#pragma once

#include "worker/comm/communicator.h"
#include "worker/nn/model.h"
#include "worker/train/batch.h"
#include "worker/train/source.h"

struct memory_need {
    size_t weights, activations; /* bytes; weights: with moments and gradients */
};

/* The most that batches of these rows come to, and what the model is made for. */
struct batch_limits memory_batches(const struct trial *t, const struct source *s, const uint32_t *rows, uint32_t count);
struct model_limits memory_sizes(const struct trial *t, const struct source *s, const struct batch_limits *limits);
struct memory_need memory_of(const struct trial *t, const struct source *s, const struct communicator *c,
                             enum precision precision, const struct batch_limits *limits);
/* Of a trial that is not split yet: whichever rows train, a rank of `ranks` needs no more. d: where it is to be trained; NULL:
 * not known. ERROR_USAGE also where d cannot compute the model. */
int memory_ask(struct memory_need *ret, const struct trial *t, int ranks, const struct device *d, struct error *e);
/* ERROR_USAGE, naming the key that lowers it: d is a GPU, and the trial needs more than the `bytes` that it has (all of them, or
 * those that are free). The host swaps; a GPU does not. bytes 0: not known. */
int memory_check(const struct memory_need *m, const struct device *d, size_t bytes, const char *which /* "", " free" */,
                 struct error *e);
