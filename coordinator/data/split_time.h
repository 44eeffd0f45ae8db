/* SPDX-License-Identifier: Apache-2.0 */
/* Splitting by time: the oldest rows train, those after them validate, the newest test. */
#pragma once

#include "common/format/split.h"
#include "coordinator/data/row_facts.h"

/* part_of (rows): rows in order of time, cut in two places, each as near to the shares of rows as can be where neither equal
 * times nor a group lie on both sides. ERROR_DATA: there are no such places; names the group or the times. f->times is there. */
int split_by_time(enum part *part_of, const struct job *j, const struct dataset *d, const struct row_facts *f, struct error *e);
/* A time as its column has it; of dates at most milliseconds. */
struct json *split_time_value(const struct row_facts *f, double time);
