/* SPDX-License-Identifier: Apache-2.0 */
/* evaluation.json of a bundle: that of its run, and the validation part's logits and labels, so that whoever has the bundle can
 * see what another threshold would be worth. No texts, no ids, nothing of the test part but its metrics. */
#pragma once

#include "coordinator/bundle/publish.h"

#define EVIDENCE_NUMBERS_MOST 2000000 /* logits; above, there are metrics only */

/* After evaluation_write. *ret: caller frees. */
int evidence_text(char **ret, const struct bundle_source *s, struct error *e);
