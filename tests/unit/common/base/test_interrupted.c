/* SPDX-License-Identifier: Apache-2.0 */
/* A signal that arrives while a file is written or synced: the file is whole, and the stop is asked for, no more. Network and
 * FUSE file systems return EINTR from write and fsync; here both are replaced by ones that do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/file.h"
#include "common/base/stop.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DIRECTORY "interrupted.test"

static int writes_to_interrupt, syncs_to_interrupt; /* as many calls fail, or write half */

static bool interrupted(int *left)
{
    if (*left <= 0)
        return false;
    --*left;
    if (!stop_requested()) /* a second signal, later, would end the program */
        raise(SIGTERM);
    errno = EINTR;
    return true;
}

ssize_t write(int fd, const void *bytes, size_t size)
{
    if (fd > 2 && interrupted(&writes_to_interrupt))
        return writes_to_interrupt % 2 && size > 1 ? syscall(SYS_write, fd, bytes, size / 2) : -1;
    return syscall(SYS_write, fd, bytes, size);
}

int fsync(int fd)
{
    return interrupted(&syncs_to_interrupt) ? -1 : (int)syscall(SYS_fsync, fd);
}

static int set_up(void **state)
{
    (void)state;
    struct error e;
    stop_install();
    return directory_remove(DIRECTORY, &e) || directory_create(DIRECTORY, &e);
}

static int tear_down(void **state)
{
    (void)state;
    struct error e;
    return directory_remove(DIRECTORY, &e);
}

static void expect_stop(void)
{
    struct error e = {0};
    assert_int_equal(stop_check(&e), -1);
    assert_int_equal(e.kind, ERROR_STOPPED);
}

static void test_file(void **state)
{
    (void)state;
    static char bytes[300000];
    char *found;
    size_t size;
    struct error e = {0};
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i * 31 + i / 251);
    writes_to_interrupt = 4;
    syncs_to_interrupt = 3; /* of the file, and of its directory */
    if (file_write(DIRECTORY "/file", bytes, sizeof bytes, &e))
        fail_msg("%s", e.message);
    assert_int_equal(writes_to_interrupt, 0);
    assert_int_equal(syncs_to_interrupt, 0);
    if (file_read(&found, &size, DIRECTORY "/file", &e))
        fail_msg("%s", e.message);
    assert_int_equal(size, sizeof bytes);
    assert_memory_equal(found, bytes, size);
    free(found);
    expect_stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(test_file, set_up, tear_down)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
