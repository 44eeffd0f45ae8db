/* SPDX-License-Identifier: Apache-2.0 */
/* check.json: what the data is like, for programs; and the same for people. */
#pragma once

#include "coordinator/data/row_facts.h"
#include "coordinator/data/tokenize.h"

/* lengths is sorted on the way. Incomplete if a stop was asked for: poll stop_check behind it. Caller destroys. */
struct json *data_report(const struct job *j, const struct records *r, struct token_lengths *lengths, const uint32_t *exact,
                         const struct near_duplicates *n);
