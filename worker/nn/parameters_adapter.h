/* SPDX-License-Identifier: Apache-2.0 */
/* Adapters and the weights that they belong to. */
#pragma once

#include "worker/nn/parameters.h"

/* ret (O,K) = w + scale b (O,r) a (r,K), sums in f64, rounded once; ret may be w. */
void adapter_merge(float *ret, const float *w, const float *a, const float *b, double scale, size_t O, size_t K, size_t r);

/* To score with: the parameters of PEFT's adapter over those of its base, which must outlive them; to the bit what
 * parameters_load_adapted makes. c: as the base's but for labels and dropouts. ERROR_DATA. */
int parameters_create_adapted(struct parameters **ret, const struct parameters *base, const struct model_config *c,
                              const char *adapter, struct error *e);

/* Lays PEFT's adapter over weights that are loaded: its head and biases take the place of theirs; its matrices go into the
 * adapters that p has, which must be the same ones, or, where p has none, are merged into the weights. new_classifier: the
 * adapter's is left out. whole_head: it must have all of the head. ERROR_DATA, and ERROR_USAGE where p's adapters are others. */
int parameters_take_adapter(struct parameters *p, const char *directory, bool new_classifier, bool whole_head, struct error *e);
