/* SPDX-License-Identifier: Apache-2.0 */
/* Slots of hosts: groups never share one, a group stays on one host where it can, hosts that do not answer are left out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cluster/hosts.h"
#include "cluster/interface.h"
#include "common/base/clock.h"
#include "common/base/file.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define HOSTS "hosts-under-test"
#define AGENT "./agent-under-test"

/* The remote shell is a script: "away" ends with 255, "bare" has no worker, "slow" answers late, the others are well. */
static struct hosts *make(const char *text)
{
    static const char agent[] =
        "#!/bin/sh\ncase $1 in away) echo no route to $1 >&2; exit 255;; bare) exit 1;; slow) sleep 1;; esac\n";
    struct hosts *h;
    struct error e;
    assert_int_equal(file_write(AGENT, agent, sizeof agent - 1, &e), 0);
    assert_int_equal(chmod(AGENT, 0700), 0);
    assert_int_equal(setenv("OMPI_MCA_plm_rsh_agent", AGENT, 1), 0);
    assert_int_equal(file_write(HOSTS, text, strlen(text), &e), 0);
    if (hosts_create(&h, HOSTS, "/bin/true", &e))
        fail_msg("%s", e.message);
    return h;
}

static void settle(struct hosts *h)
{
    double end = clock_seconds() + 60;
    for (hosts_poll(h); !hosts_probed(h); hosts_poll(h)) {
        assert_true(clock_seconds() < end);
        clock_sleep(0.01);
    }
}

static void take(struct hosts *h, int ranks, struct slots *s, const char *spec)
{
    *s = (struct slots){0};
    assert_true(hosts_take(h, ranks, s));
    assert_string_equal(s->spec, spec);
}

static void groups_share_no_slot(void **state)
{
    struct hosts *h = make("a slots=3\nb slots=2\nc slots=1\n");
    struct slots s[4], none = {0};
    struct error e;
    (void)state;
    assert_false(hosts_take(h, 1, &none)); /* nobody has been asked yet */
    settle(h);
    assert_int_equal(hosts_available(h), 6);
    assert_int_equal(hosts_max_slots(h), 3);
    assert_string_equal(hosts_first_remote(h), "a");
    assert_int_equal(hosts_check(h, 3, 2, NULL), 0);
    assert_int_equal(hosts_check(h, 2, 4, &e), -1);
    assert_int_equal(e.kind, ERROR_USAGE);
    take(h, 2, &s[0], "a:2");
    take(h, 2, &s[1], "b:2"); /* has room for both, a and c have not */
    take(h, 2, &s[2], "a:1,c:1");
    assert_false(hosts_take(h, 1, &none));
    hosts_release(h, &s[1], false);
    take(h, 1, &s[3], "b:1");
    for (int i = 0; i < 4; i++)
        hosts_release(h, &s[i], false);
    hosts_destroy(&h);
}

static void hosts_that_do_not_answer_are_left_out(void **state)
{
    struct hosts *h = make("away slots=2\nslow slots=1\nbare\ngood slots=2\n");
    struct slots s, none = {0};
    (void)state;
    settle(h);
    assert_int_equal(hosts_available(h), 3);
    assert_non_null(strstr(hosts_problem(h), "host away is not reachable"));
    assert_non_null(strstr(hosts_problem(h), "no route to away"));
    take(h, 2, &s, "good:2");
    assert_false(hosts_take(h, 2, &none));
    hosts_release(h, &s, true); /* a group died there: it is asked again first */
    assert_false(hosts_take(h, 2, &none));
    settle(h);
    take(h, 2, &s, "good:2");
    hosts_release(h, &s, false);
    hosts_destroy(&h);
    hosts_destroy(&h);
}

/* A worker path with quotes, and a remote shell of many words: the command that arrives is whole. */
static void probe_is_quoted(void **state)
{
    static const char agent[] = "#!/bin/sh\nfor last; do :; done\n[ $# = 42 ] && exec sh -c \"$last\"\nexit 9\n";
    static const char worker[] = "hosts it's/muster \"worker\"";
    char command[512] = AGENT;
    struct hosts *h;
    struct error e;
    (void)state;
    assert_int_equal(directory_create("hosts it's", &e), 0);
    assert_int_equal(file_write(worker, "x", 1, &e), 0);
    assert_int_equal(chmod(worker, 0700), 0);
    assert_int_equal(file_write(AGENT, agent, sizeof agent - 1, &e), 0);
    assert_int_equal(chmod(AGENT, 0700), 0);
    for (int i = 0; i < 40; i++)
        snprintf(command + strlen(command), sizeof command - strlen(command), " -o%d", i);
    assert_int_equal(setenv("OMPI_MCA_plm_rsh_agent", command, 1), 0);
    assert_int_equal(file_write(HOSTS, "a slots=1\n", 10, &e), 0);
    assert_int_equal(hosts_create(&h, HOSTS, worker, &e), 0);
    settle(h);
    if (hosts_available(h) != 1)
        fail_msg("%s", hosts_problem(h));
    hosts_destroy(&h);
    assert_int_equal(directory_remove("hosts it's", &e), 0);
}

/* A remote shell that does not exist leaves no process behind. */
static void failed_probe_is_reaped(void **state)
{
    struct hosts *h;
    struct error e;
    (void)state;
    assert_int_equal(setenv("OMPI_MCA_plm_rsh_agent", "./no-such-agent", 1), 0);
    assert_int_equal(file_write(HOSTS, "a slots=1\n", 10, &e), 0);
    assert_int_equal(hosts_create(&h, HOSTS, "/bin/true", &e), 0);
    settle(h);
    assert_int_equal(hosts_available(h), 0);
    assert_non_null(strstr(hosts_problem(h), "No such file"));
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
    hosts_destroy(&h);
}

static void this_machine_is_not_asked(void **state)
{
    struct hosts *h = make("localhost slots=2\n");
    struct slots s;
    (void)state;
    assert_true(hosts_probed(h));
    assert_null(hosts_first_remote(h));
    take(h, 2, &s, "localhost:2");
    hosts_release(h, &s, true);
    take(h, 2, &s, "localhost:2");
    hosts_release(h, &s, false);
    hosts_destroy(&h);
}

static void addresses(void **state)
{
    static const char *const loopback[] = {"lo", "127.0.0.1", "127.0.0.0/8"};
    static const char *const strange[] = {"eth99", "203.0.113.9", "203.0.113.0/24", "127.0.0.0/x", ""};
    char address[INTERFACE_ADDRESS];
    struct in_addr parsed;
    struct error e;
    (void)state;
    for (size_t i = 0; i < sizeof loopback / sizeof *loopback; i++) {
        assert_int_equal(interface_address(address, loopback[i], NULL, &e), 0);
        assert_string_equal(address, "127.0.0.1");
    }
    for (size_t i = 0; i < sizeof strange / sizeof *strange; i++) {
        assert_int_equal(interface_address(address, strange[i], NULL, &e), -1);
        assert_int_equal(e.kind, ERROR_USAGE);
        assert_non_null(strstr(e.message, "lo 127.0.0.1"));
    }
    assert_int_equal(interface_address(address, NULL, "localhost", &e), 0);
    assert_string_equal(address, "127.0.0.1");
    assert_int_equal(interface_address(address, NULL, NULL, &e), 0);
    assert_int_equal(inet_pton(AF_INET, address, &parsed), 1);
    assert_true(interface_is_portable("eth0"));
    assert_true(interface_is_portable("10.0.0.0/8"));
    assert_false(interface_is_portable("10.0.0.1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups_share_no_slot),      cmocka_unit_test(hosts_that_do_not_answer_are_left_out),
        cmocka_unit_test(this_machine_is_not_asked), cmocka_unit_test(probe_is_quoted),
        cmocka_unit_test(failed_probe_is_reaped),    cmocka_unit_test(addresses),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    remove(HOSTS);
    remove(AGENT);
    return failed;
}
