/* SPDX-License-Identifier: Apache-2.0 */
/* muster report: the page of a run, finished or not. */
#include "coordinator/cli/verbs.h"
#include "coordinator/report/report.h"

#include <stdio.h>

const struct option report_options[] = {
    {"output", 'o', "FILE", NULL, "output file; default: report.html in the run directory"},
    {"with-test", 0, NULL, NULL, "also list errors of the test part"},
    {NULL},
};

int verb_report(const struct arguments *a, struct error *e)
{
    const char *directory = a->positional[0], *file = argument(a, "output");
    if (report_write(directory, file, argument_given(a, "with-test"), e) != 0)
        return -1;
    if (file)
        printf("report: %s\n", file);
    else
        printf("report: %s/report.html\n", directory);
    return 0;
}
