/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/data/data_problems.h"

#include <stdio.h>
#include <string.h>

#define PROBLEM_SHARE 0.01

static const struct {
    const char *name, *advice;
    double share, count; /* above the one and not below the other: stop */
} problems[] = {
    [PROBLEM_CONFLICTING_DUPLICATES] = {"conflicting_duplicates", "correct the labels", PROBLEM_SHARE, PROBLEM_COUNT},
    [PROBLEM_LEAKS] = {"leaks", "remove the duplicates, or give them the same data.group", PROBLEM_SHARE, PROBLEM_COUNT},
    [PROBLEM_SHARED_GROUPS] = {"shared_groups", "keep each group in one part", 0, 1},
};

const char *data_problem_name(enum data_problem problem)
{
    return problems[problem].name;
}

bool data_problem_stops(enum data_problem problem, double count, double of)
{
    return count > problems[problem].share * of && count >= problems[problem].count;
}

static bool is_accepted(const struct job *j, const char *name)
{
    for (size_t i = 0; i < j->data.accept.count; i++)
        if (!strcmp(j->data.accept.names[i], name))
            return true;
    return false;
}

int data_problem_check(enum data_problem problem, const struct job *j, double count, double of, const char *what,
                       const char *where, struct error *e)
{
    const char *name = problems[problem].name;
    bool stops = data_problem_stops(problem, count, of), accepted = is_accepted(j, name);
    if (count <= 0)
        return 0;
    if (stops && !accepted)
        return error_set(e, ERROR_DATA, "%.0f %s (%.1f %%), see %s; %s, or accept it: data.accept=[\"%s\"]", count, what,
                         of > 0 ? 100 * count / of : 0, where, problems[problem].advice, name);
    printf("  note: %.0f %s (%.1f %%)%s\n", count, what, of > 0 ? 100 * count / of : 0, stops ? ", accepted by data.accept" : "");
    return 0;
}
