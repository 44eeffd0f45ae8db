/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of a bundle's decision rule: checked, atomic, with what was there before kept in its history. */
#pragma once

#include "common/format/bundle.h"

/* *ret: a copy of the bundle's inference_config.json to be changed. Caller destroys. */
struct json *rule_copy(const struct bundle *b);
/* Adds {time, event, and the threshold, thresholds and temperature that `b` has} to the history of `changed`, and puts it in the
 * place of the bundle's. ERROR_DATA if the bundle would not open with it; nothing is changed then. */
int rule_commit(const char *path, const struct bundle *b, struct json *changed, const char *event, struct error *e);
/* "threshold=0.4", "threshold.NAME=0.4", "temperature=1.5", "temperature.NAME=1.5" into `changed`; ERROR_USAGE names what is
 * wrong, and a label that may be meant. One value for all takes the place of all labels' own. */
int rule_set(struct json *changed, const struct bundle *b, const char *assignment, struct error *e);
