/* SPDX-License-Identifier: Apache-2.0 */
/* A worker that somebody else started is gone only where its process number means something to us. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/machine.h"
#include "coordinator/dispatch/roster.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void vanished(void **state)
{
    char host[MACHINE_NAME], pids[MACHINE_PIDS];
    (void)state;
    machine_name(host, sizeof host);
    machine_pids(pids);
    assert_true(strlen(pids) > 10);
    pid_t child = fork();
    if (!child)
        _exit(0);
    assert_int_equal(waitpid(child, NULL, 0), child); /* no process has this number now */
    struct group g = {.hello = {.host = host, .pid = child, .pid_namespace = pids}};
    assert_true(group_vanished(&g));
    g.hello.pid = getpid();
    assert_false(group_vanished(&g));
    g.hello.pid = child;
    g.hello.pid_namespace = (char *)"00000000-0000-0000-0000-000000000000/1"; /* a container of the same host name */
    assert_false(group_vanished(&g));
    g.hello.pid_namespace = NULL;
    assert_false(group_vanished(&g));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(vanished)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
