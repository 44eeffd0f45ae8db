/* SPDX-License-Identifier: Apache-2.0 */
/* Planned faults: what is understood, what is refused, and that one strikes where it should, once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/fault.h"
#include "common/base/file.h"
#include "common/base/operation.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static bool is_message(const char *name)
{
    return !strcmp(name, "result") || !strcmp(name, "lease");
}

static void plan(const char *text)
{
    struct error e = {0};
    if (fault_plan(text, is_message, &e))
        fail_msg("%s: %s", text ? text : "no plan", e.message);
}

static void test_refused(void **state)
{
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"kil rank=1", "no fault \"kil\"; did you mean 'kill'"},
        {"kill rank", "key=value expected, \"rank\" found"},
        {"kill rnk=1", "rank, step, op, message, trial or attempt expected, \"rnk\" found"},
        {"kill rank=-1", "a number from 0 expected, \"-1\" found"},
        {"kill rank=1x", "\"1x\" found"},
        {"kill attempt=0", "a number from 1"},
        {"kill step=7; stall op=forwad", "no operation \"forwad\"; did you mean forward"},
        {"drop", "drop needs message=NAME"},
        {"drop message=results", "\"results\" found"},
        {"drop message=result op=train", "no op="},
        {"kill message=result", "kill has no message=NAME"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error e = {0};
        assert_int_equal(fault_plan(cases[i].text, is_message, &e), -1);
        assert_int_equal(e.kind, ERROR_USAGE);
        if (!strstr(e.message, cases[i].words))
            fail_msg("\"%s\": expected \"%s\", found \"%s\"", cases[i].text, cases[i].words, e.message);
        assert_false(fault_planned);
    }
    plan(NULL);
    assert_false(fault_planned);
    plan(" ; ");
    assert_false(fault_planned);
}

/* The signal that ends a child at the third step of the second rank, or 0: it lives. */
static int fate(const char *text, const char *trial, uint32_t attempt)
{
    int status;
    pid_t child = fork();
    if (!child) {
        plan(text);
        fault_set_rank(1);
        fault_set_trial(trial, attempt);
        fault_set_step(3);
        operation_begin("forward");
        operation_begin("all_reduce");
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, WUNTRACED), child);
    if (!WIFSTOPPED(status))
        return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    int number = WSTOPSIG(status);
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    return number;
}

static void test_where(void **state)
{
    (void)state;
    assert_int_equal(fate("kill rank=1 step=3 op=all_reduce", "a", 1), SIGKILL);
    assert_int_equal(fate("stall rank=1 step=3 op=forward trial=a", "a", 1), SIGSTOP);
    assert_int_equal(fate("kill op=optimizer ; kill step=3", "a", 1), SIGKILL);
    assert_int_equal(fate("kill attempt=2", "a", 2), SIGKILL);
    assert_int_equal(fate("kill", "a", 2), 0); /* the trial is tried again: not again */
    assert_int_equal(fate("kill rank=0", "a", 1), 0);
    assert_int_equal(fate("kill step=4", "a", 1), 0);
    assert_int_equal(fate("kill op=optimizer", "a", 1), 0);
    assert_int_equal(fate("kill trial=b", "a", 1), 0);
}

static void test_messages(void **state)
{
    (void)state;
    plan("drop message=result; duplicate message=lease");
    assert_int_equal(fault_copies("result"), 0);
    assert_int_equal(fault_copies("result"), 1); /* once */
    assert_int_equal(fault_copies("beat"), 1);
    assert_int_equal(fault_copies("lease"), 2);
    assert_int_equal(fault_copies("lease"), 1);
}

static void test_files(void **state)
{
    struct error e = {0};
    char *text;
    size_t size;
    (void)state;
    assert_int_equal(file_write("fault.test", "0123456789", 10, &e), 0);
    plan("enospc op=checkpoint; read_only op=epoch_decision; flip op=checkpoint; cut op=checkpoint");
    operation_begin("evaluate");
    assert_int_equal(file_write("fault.test", "0123456789", 10, &e), 0);
    operation_begin("checkpoint");
    assert_int_equal(file_write("fault.test", "x", 1, &e), -1);
    assert_non_null(strstr(e.message, strerror(ENOSPC)));
    operation_begin("epoch_decision");
    assert_int_equal(file_write("fault.test", "x", 1, &e), -1);
    assert_non_null(strstr(e.message, strerror(EROFS)));
    fault_damage("fault.test"); /* not here */
    assert_int_equal(file_read(&text, &size, "fault.test", &e), 0);
    assert_string_equal(text, "0123456789");
    free(text);
    operation_begin("checkpoint");
    fault_damage("fault.test");
    assert_int_equal(file_read(&text, &size, "fault.test", &e), 0);
    assert_string_equal(text, "0123446789");
    free(text);
    fault_damage("fault.test");
    assert_int_equal(file_read(&text, &size, "fault.test", &e), 0);
    assert_string_equal(text, "01234");
    free(text);
    unlink("fault.test");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_refused), cmocka_unit_test(test_where),
                                       cmocka_unit_test(test_messages), cmocka_unit_test(test_files)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
