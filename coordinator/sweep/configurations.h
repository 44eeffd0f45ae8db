/* SPDX-License-Identifier: Apache-2.0 */
/* Configurations of several trials (train.seeds, split.folds; each seed has all folds): mean, standard deviation, least and most
 * of validation metrics over them; best first, as JSON, as Markdown and for the screen. */
#pragma once

#include "coordinator/decision/decision.h"
#include "coordinator/sweep/sweep.h"

bool configurations_repeated(const struct job *j); /* whether configurations have several trials; if not, all below is empty */
/* d: decided, with the trials of t. */
struct json *configurations_to_json(const struct trials *t, const struct decision *d, const struct job *j);
/* A section with a table; NULL where configurations have one trial. Caller frees. */
char *configurations_to_markdown(const struct trials *t, const struct decision *d, const struct job *j);
void configurations_print(const struct trials *t, const struct decision *d, const struct job *j);
