/* SPDX-License-Identifier: Apache-2.0 */
/* The comparison with the baseline as it is shown, rendered from what baseline.json and ensemble.json hold. */
#pragma once

#include "common/json/json.h"

/* baseline, ensemble: the contents of the files, with a comparison. Caller frees. */
char *comparison_to_markdown(const struct json *baseline, const struct json *ensemble);
void comparison_print(const struct json *baseline, const struct json *ensemble);
/* The section of <directory>'s table.md and of the model card; NULL if there is no comparison, or one of another decision than
 * <directory>/tune.json's. Caller frees. */
char *comparison_section(const char *directory);
/* sha256 of <directory>/tune.json, by which a comparison knows the decision that it was made with. */
int comparison_decision(char sha256[65], const char *directory, struct error *e);
