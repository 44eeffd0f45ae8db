/* SPDX-License-Identifier: Apache-2.0 */
/* What a split is like: rows, groups, labels and fingerprint of each part, and what of train stands in the others. */
#pragma once

#include "common/format/split.h"
#include "coordinator/data/row_facts.h"

/* Sets the split's fingerprints, writes <out>/split_check.json, and stops for what data_problems.h names (ERROR_DATA). */
int split_check(struct split *s, const struct job *j, const struct dataset *d, const struct row_facts *f,
                const struct json *check, struct error *e);
