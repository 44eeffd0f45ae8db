/* SPDX-License-Identifier: Apache-2.0 */
/* Host files: what Open MPI takes is taken, a typo is named with file and line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cluster/hostfile.h"
#include "common/base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH "hostfile-under-test"

static int read_text(struct host_line **ret, size_t *count, const char *text, struct error *e)
{
    assert_int_equal(file_write(PATH, text, strlen(text), e), 0);
    int status = hostfile_read(ret, count, PATH, e);
    remove(PATH);
    return status;
}

static void reads_what_open_mpi_reads(void **state)
{
    struct host_line *hosts;
    size_t count;
    struct error e;
    (void)state;
    assert_int_equal(
        read_text(&hosts, &count,
                  "# a comment\n\n n1.cluster  slots=4   # the first\r\nn2\tslots=2 max_slots=8\nn3\nn2 max-slots=9 slots=3\nn3",
                  &e),
        0);
    assert_int_equal(count, 3);
    assert_string_equal(hosts[0].name, "n1.cluster");
    assert_int_equal(hosts[0].slots, 4);
    assert_int_equal(hosts[1].slots, 5); /* named twice: both lines count */
    assert_string_equal(hosts[2].name, "n3");
    assert_int_equal(hosts[2].slots, 2);
    free(hosts);
}

static void names_the_place_of_a_typo(void **state)
{
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"n1 slots=2\nn2 slot=2\n", PATH ":2: unknown option \"slot=2\""},
        {"n1 slots 2\n", PATH ":1: unknown option \"slots\""},
        {"\nn1 slots=\n", PATH ":2: \"slots=\": expected a number from 1"},
        {"n1 slots=0\n", PATH ":1: \"slots=0\": expected a number from 1"},
        {"n1 slots=-1\n", PATH ":1: \"slots=-1\": expected a number from 1"},
        {"n1 slots=2x\n", PATH ":1: \"slots=2x\": expected a number from 1"},
        {"n1 slots=99999999999\n", PATH ":1: \"slots=99999999999\": expected a number from 1"},
        {"n1 max_slots=no\n", PATH ":1: \"max_slots=no\": expected a number from 1"},
        {"n1,n2\n", PATH ":1: \"n1,n2\" is not a host name"},
        {"n1:4\n", PATH ":1: \"n1:4\" is not a host name"},
        {"# nothing\n", PATH ": contains no host"},
        {"", PATH ": contains no host"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct host_line *hosts = NULL;
        size_t count;
        struct error e;
        assert_int_equal(read_text(&hosts, &count, cases[i].text, &e), -1);
        assert_int_equal(e.kind, ERROR_USAGE);
        if (strncmp(e.message, cases[i].words, strlen(cases[i].words)))
            fail_msg("expected \"%s...\", found \"%s\"", cases[i].words, e.message);
    }
}

static void a_missing_file_is_a_fault_of_usage(void **state)
{
    struct host_line *hosts;
    size_t count;
    struct error e;
    (void)state;
    assert_int_equal(hostfile_read(&hosts, &count, "nowhere", &e), -1);
    assert_int_equal(e.kind, ERROR_USAGE);
    assert_non_null(strstr(e.message, "nowhere"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_open_mpi_reads),
        cmocka_unit_test(names_the_place_of_a_typo),
        cmocka_unit_test(a_missing_file_is_a_fault_of_usage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
