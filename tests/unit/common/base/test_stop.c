/* SPDX-License-Identifier: Apache-2.0 */
/* Stopping: the first signal asks, the second ends the process at once with the resumable code. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "common/base/stop.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NOT_ASKED = 10, ASKED = 11, SURVIVED = 12 };

static int status_of(int (*work)(int), int signal_number)
{
    int status;
    pid_t child = fork();
    if (child == 0)
        _exit(work(signal_number));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int one_signal(int number)
{
    struct error e = {0};
    stop_install();
    if (stop_requested() || stop_check(&e))
        return NOT_ASKED;
    raise(number);
    double start = clock_seconds();
    clock_sleep(0); /* still at work */
    return stop_requested() && stop_check(&e) == -1 && e.kind == ERROR_STOPPED && clock_seconds() >= start ? ASKED : NOT_ASKED;
}

static int two_signals(int number)
{
    stop_install();
    raise(number);
    raise(number); /* the same request, handed on twice */
    clock_sleep(2 * STOP_AGAIN);
    raise(number);
    return SURVIVED;
}

static int signal_after_message(int number)
{
    stop_install();
    stop_request();
    stop_request();
    raise(number);
    return SURVIVED;
}

static void test_signals(void **state)
{
    (void)state;
    const int numbers[] = {SIGTERM, SIGINT, SIGUSR1};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(status_of(one_signal, numbers[i]), ASKED);
        assert_int_equal(status_of(two_signals, numbers[i]), ERROR_STOPPED);
        assert_int_equal(status_of(signal_after_message, numbers[i]), SURVIVED);
    }
}

static void test_clock(void **state)
{
    (void)state;
    char text[32] = "";
    double start = clock_seconds();
    clock_sleep(0.02);
    assert_true(clock_seconds() - start >= 0.0199);
    clock_timestamp(text, sizeof text);
    assert_int_equal(strlen(text), 24);
    assert_int_equal(strspn(text, "0123456789-T:.Z"), 24);
    assert_true(text[4] == '-' && text[10] == 'T' && text[19] == '.' && text[23] == 'Z');
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_signals), cmocka_unit_test(test_clock)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
