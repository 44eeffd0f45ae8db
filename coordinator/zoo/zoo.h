/* SPDX-License-Identifier: Apache-2.0 */
/* A table of models (muster zoo): one row each, from the directories of runs and bundles alone. Models that were not scored on
 * the same rows with the same labels stand in different tables. */
#pragma once

#include "common/json/json.h"

/* paths: runs, bundles, and directories that hold such. The document is {"tables": [{"protocol", "compared_by", "models":
 * [...]}]}, best on validation first (docs/formats.md); caller destroys. ERROR_USAGE: nothing there to compare. ERROR_DATA: a
 * file is damaged. */
int zoo_read(struct json **ret, const char *const *paths, size_t count, struct error *e);

/* The document for people: Markdown and HTML have a few tables of the same rows for each protocol, CSV one line a model. Caller
 * frees. */
char *zoo_to_markdown(const struct json *zoo);
char *zoo_to_html(const struct json *zoo);
char *zoo_to_csv(const struct json *zoo);
