/* SPDX-License-Identifier: Apache-2.0 */
/* Children: their output, their end, and none left behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/process.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void output_and_end(void **state)
{
    char *const words[] = {(char *)"sh", (char *)"-c", (char *)"cat; echo out; echo err >&2; pwd; exit 3", NULL};
    struct buffer output;
    struct error e;
    int status;
    (void)state;
    assert_int_equal(process_run(&output, 100, &status, words, &(struct process_options){.directory = "/"}, &e), 0);
    assert_string_equal(output.data, "out\nerr\n/\n");
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 3);
    buffer_free(&output);
    assert_int_equal(process_run(&output, 6, &status, words, &(struct process_options){.flags = PROCESS_QUIET}, &e), 0);
    assert_memory_equal(output.data, "out\n/", 5);
    assert_int_equal(output.size, 6);
    buffer_free(&output);
}

static void failed_exec_is_reaped(void **state)
{
    char *const words[] = {(char *)"no-such-program", NULL};
    struct process p;
    struct error e;
    (void)state;
    assert_int_equal(process_start(&p, words, NULL, &e), -1);
    assert_non_null(strstr(e.message, "no-such-program: cannot be started: No such file"));
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

static void group_of_its_own(void **state)
{
    char *const words[] = {(char *)"sleep", (char *)"60", NULL};
    struct process p;
    struct error e;
    int status;
    (void)state;
    assert_int_equal(process_start(&p, words, &(struct process_options){.flags = PROCESS_GROUP}, &e), 0);
    assert_int_equal(getpgid(p.pid), p.pid);
    assert_int_equal(kill(-p.pid, SIGKILL), 0);
    assert_int_equal(waitpid(p.pid, &status, 0), p.pid);
    assert_true(WIFSIGNALED(status));
    close(p.output);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(output_and_end), cmocka_unit_test(failed_exec_is_reaped),
                                       cmocka_unit_test(group_of_its_own)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
