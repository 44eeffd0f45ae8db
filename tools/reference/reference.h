/* SPDX-License-Identifier: Apache-2.0 */
/* What the manual pages and the shell's completion are made of: the tables of verbs, options and job keys, and those of
 * muster-worker, which it prints itself (`muster-worker options`). Run by the build; not installed. */
#pragma once

#include "common/base/error.h"
#include "common/json/json.h"

/* A page each for muster, its verbs and muster-worker in section 1, and one for the job file in section 5. date: YYYY-MM-DD. */
int man_pages_write(const char *directory, const char *date, const struct json *worker, struct error *e);
/* bash: one file, named muster, for both programs. */
int completion_write(const char *directory, const struct json *worker, struct error *e);
