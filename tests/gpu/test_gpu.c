/* SPDX-License-Identifier: Apache-2.0 */
/* The suites of tests/unit that try every device, on this machine's GPU, in one program that tools/portable.sh can carry; golden
 * files are read from tests/golden below the current directory. Without a GPU: exit code 77, and why.
 *
 * usage: test_gpu SUITE */
#include "worker/device/gpu.h"

#include <stdio.h>
#include <string.h>

/* main() of each suite's file. */
int suite_operations(void);
int suite_dropout(void);
int suite_loss(void);
int suite_golden(void);
int suite_differences(void);
int suite_steps(void);

static const struct {
    const char *name;
    int (*run)(void);
} suites[] = {{"operations", suite_operations}, {"dropout", suite_dropout},         {"loss", suite_loss},
              {"golden", suite_golden},         {"differences", suite_differences}, {"steps", suite_steps}};

int main(int count, char **arguments)
{
    struct error e = {0};
    if (count == 2 && gpu_check(&e)) {
        printf("skipped: no GPU to be had: %s\n", e.message);
        return 77;
    }
    for (size_t i = 0; count == 2 && i < sizeof suites / sizeof *suites; i++)
        if (!strcmp(suites[i].name, arguments[1]))
            return suites[i].run() ? 1 : 0;
    fprintf(stderr, "usage: test_gpu operations|dropout|loss|golden|differences|steps\n");
    return 2;
}
