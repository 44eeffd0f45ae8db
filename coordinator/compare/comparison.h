/* SPDX-License-Identifier: Apache-2.0 */
/* The report of a run beside its transformer: the TF-IDF baseline, both together, and what could go without a person. */
#pragma once

#include "coordinator/run.h"

/* After final_score. By the job's report keys: baseline.json, ensemble.json, automatable.json (many labels a row), a section of
 * table.md, r->beside, and a few lines on standard output that say which model wins on test. */
int beside_transformer(struct run *r, struct error *e);
/* The section that is in <directory>/table.md; NULL if there is none. Caller frees. */
char *beside_section(const char *directory);
