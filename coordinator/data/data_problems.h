/* SPDX-License-Identifier: Apache-2.0 */
/* Problems that make a result wrong, by the names that "data.accept" takes. Above its bound a problem stops the run (ERROR_DATA)
 * unless it is accepted; below, it is printed:
 *   conflicting_duplicates  rows that repeat another's texts with another label: more than 1 % of the rows, and 5 of them
 *   leaks                   rows of validation or test whose texts stand in train too: more than 1 % of the part, and 5 of them
 *   shared_groups           groups that a given split (split.file, or data that came split) has in two parts: one is too many */
#pragma once

#include "coordinator/job/job.h"

enum data_problem { PROBLEM_CONFLICTING_DUPLICATES, PROBLEM_LEAKS, PROBLEM_SHARED_GROUPS };

#define PROBLEM_COUNT 5 /* rows that no run stops below */

const char *data_problem_name(enum data_problem problem); /* as data.accept takes it */

/* Whether so many, of so many, stop a run that does not accept them. */
bool data_problem_stops(enum data_problem problem, double count, double of);

/* "N rows ..." on the screen if there are any; ERROR_DATA where the run must stop. what: words behind the count; where: a file
 * that says more. */
int data_problem_check(enum data_problem problem, const struct job *j, double count, double of, const char *what,
                       const char *where, struct error *e);
