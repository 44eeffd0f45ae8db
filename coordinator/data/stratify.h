/* SPDX-License-Identifier: Apache-2.0 */
/* Iterative stratification (Sechidis, Tsoumakas, Vlahavas: "On the stratification of multi-label data", ECML 2011) of whole
 * groups: the label with the fewest rows left is dealt out first, each group to the part that lacks most of that label. With one
 * label a row it is plain stratification. */
#pragma once

#include "common/format/dataset.h"

/* group_of (rows): 0 .. groups - 1, or UINT32_MAX for rows to leave out; rank (groups): the place of a group among those that are
 * alike, from the seed; share (parts): sum 1. part_of (groups) is the result, 0 .. parts - 1. */
void stratify(uint32_t *part_of, const struct dataset *d, const uint32_t *group_of, uint32_t groups, const uint32_t *rank,
              const double *share, uint32_t parts);
/* The same for parts of equal size and groups of several rows: the groups whose labels are the most uneven first, each to the
 * part where the counts of its labels then differ least between the parts, in standard deviations over the label's rows; among
 * equals, to the part with the fewest rows. (The rule of scikit-learn's StratifiedGroupKFold.) */
void stratify_evenly(uint32_t *part_of, const struct dataset *d, const uint32_t *group_of, uint32_t groups, const uint32_t *rank,
                     uint32_t parts);
