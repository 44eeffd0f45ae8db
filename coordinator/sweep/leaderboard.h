/* SPDX-License-Identifier: Apache-2.0 */
/* The table of trials: scored on validation, best first; as JSON, as Markdown and for the screen. */
#pragma once

#include "coordinator/decision/decision.h"
#include "coordinator/sweep/sweep.h"

/* d: decided, with the trials of t. */
struct json *leaderboard_to_json(const struct trials *t, const struct decision *d, const struct job *j);
/* Caller frees. */
char *leaderboard_to_markdown(const struct trials *t, const struct decision *d, const struct job *j);
void leaderboard_print(const struct trials *t, const struct decision *d, const struct job *j);
