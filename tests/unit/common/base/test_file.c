/* SPDX-License-Identifier: Apache-2.0 */
/* Files: read, mapped, replaced whole or not at all; a full disk and wrong names say what they are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/base/stop.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define DIRECTORY "test_file.d"

static int fresh_directory(void **state)
{
    (void)state;
    return directory_remove(DIRECTORY, NULL) || directory_create(DIRECTORY, NULL);
}

static int remove_directory(void **state)
{
    (void)state;
    return directory_remove(DIRECTORY, NULL);
}

static void check_content(const char *path, const char *expected)
{
    struct error e;
    char *bytes;
    size_t size;
    if (file_read(&bytes, &size, path, &e))
        fail_msg("%s", e.message);
    assert_string_equal(bytes, expected);
    assert_int_equal(size, strlen(expected));
    free(bytes);
}

static void check_only(const char *files)
{
    char *command = format_string("test \"$(ls %s | tr '\\n' ' ')\" = '%s'", DIRECTORY, files);
    assert_int_equal(system(command), 0);
    free(command);
}

static void test_reading(void **state)
{
    (void)state;
    struct error e;
    struct file_map map;
    assert_int_equal(file_write(DIRECTORY "/a", "abc", 3, &e), 0);
    check_content(DIRECTORY "/a", "abc");
    assert_int_equal(file_map(&map, DIRECTORY "/a", &e), 0);
    assert_int_equal(map.size, 3);
    assert_memory_equal(map.data, "abc", 3);
    file_unmap(&map);
    file_unmap(&map);
    file_unmap(NULL);
    assert_int_equal(file_write(DIRECTORY "/a", "", 0, &e), 0);
    check_content(DIRECTORY "/a", "");
    assert_int_equal(file_map(&map, DIRECTORY "/a", &e), 0);
    assert_null(map.data);
    file_unmap(&map);
    assert_int_equal(file_write(DIRECTORY "/a", "xyz", 3, &e), 0);
    assert_int_equal(file_copy(DIRECTORY "/a", DIRECTORY "/b", &e), 0);
    check_content(DIRECTORY "/b", "xyz");
    check_only("a b ");
}

static void refused(const char *path, const char *words)
{
    struct error e = {0};
    struct file_map map = {.size = 77};
    char *bytes = NULL;
    size_t size = 77;
    assert_int_equal(file_read(&bytes, &size, path, &e), -1);
    assert_int_equal(e.kind, ERROR_DATA);
    if (!strstr(e.message, words) || !strstr(e.message, path))
        fail_msg("expected \"%s\" and \"%s\", found \"%s\"", path, words, e.message);
    assert_int_equal(file_map(&map, path, &e), -1);
    assert_int_equal(e.kind, ERROR_DATA);
    assert_null(bytes);
    assert_int_equal(size + map.size, 154);
}

static void test_wrong_names(void **state)
{
    (void)state;
    struct error e;
    refused(DIRECTORY "/none", "No such file");
    refused(DIRECTORY, "a directory");
    refused("/dev/null", "a device or pipe");
    assert_int_equal(mkfifo(DIRECTORY "/pipe", 0600), 0);
    refused(DIRECTORY "/pipe", "a device or pipe"); /* and does not wait for a writer */
    assert_int_equal(file_write(DIRECTORY "/none/a", "x", 1, &e), -1);
    assert_int_equal(e.kind, ERROR_FAILED);
    assert_non_null(strstr(e.message, "none/a"));
    assert_non_null(strstr(e.message, "No such file"));
    assert_int_equal(file_write(DIRECTORY, "x", 1, &e), -1); /* a directory is in the way */
    assert_true(directory_exists(DIRECTORY));
    assert_int_equal(file_write("", "x", 1, &e), -1);
    assert_int_equal(e.kind, ERROR_FAILED);
}

static void test_writer(void **state)
{
    (void)state;
    struct error e;
    struct file_writer *w;
    assert_int_equal(file_write(DIRECTORY "/a", "old", 3, &e), 0);
    assert_int_equal(file_writer_create(&w, DIRECTORY "/a", &e), 0);
    fputs("new, half", file_writer_stream(w));
    check_content(DIRECTORY "/a", "old");
    assert_true(file_exists(file_writer_path(w)));
    file_writer_destroy(&w);
    assert_null(w);
    file_writer_destroy(&w);
    check_content(DIRECTORY "/a", "old");
    check_only("a ");
    assert_int_equal(file_writer_create(&w, DIRECTORY "/a", &e), 0);
    fputs("new", file_writer_stream(w));
    assert_int_equal(file_writer_commit(&w, &e), 0);
    assert_null(w);
    check_content(DIRECTORY "/a", "new");
    check_only("a ");
}

/* A process killed while it writes leaves the old file. */
/* What is no regular file is written in place or refused, never replaced by one; a link stays a link. */
static void special_files_are_not_replaced(void **state)
{
    (void)state;
    struct error e = {0};
    struct stat about;
    char received[8] = "";
    assert_int_equal(directory_create(DIRECTORY "/links", &e), 0);
    assert_int_equal(file_write(DIRECTORY "/links/target", "old", 3, &e), 0);
    assert_int_equal(symlink("target", DIRECTORY "/links/link"), 0);
    assert_int_equal(symlink("later", DIRECTORY "/links/dangling"), 0);
    assert_int_equal(file_write(DIRECTORY "/links/link", "new", 3, &e), 0);
    assert_int_equal(file_write(DIRECTORY "/links/dangling", "made", 4, &e), 0);
    check_content(DIRECTORY "/links/target", "new");
    check_content(DIRECTORY "/links/later", "made");
    assert_int_equal(lstat(DIRECTORY "/links/link", &about), 0);
    assert_true(S_ISLNK(about.st_mode));
    assert_int_equal(file_write("/dev/null", "x", 1, &e), 0);
    assert_int_equal(stat("/dev/null", &about), 0);
    assert_true(S_ISCHR(about.st_mode));
    assert_int_equal(mkfifo(DIRECTORY "/links/fifo", 0600), 0);
    int reader = open(DIRECTORY "/links/fifo", O_RDONLY | O_NONBLOCK);
    assert_int_equal(file_write(DIRECTORY "/links/fifo", "piped", 5, &e), 0);
    assert_int_equal(read(reader, received, sizeof received - 1), 5);
    assert_string_equal(received, "piped");
    close(reader);
    assert_int_equal(stat(DIRECTORY "/links/fifo", &about), 0);
    assert_true(S_ISFIFO(about.st_mode));
    assert_int_equal(file_write(DIRECTORY "/links", "x", 1, &e), -1);
    assert_non_null(strstr(e.message, "links: cannot be written: it is a directory"));
    assert_int_equal(directory_remove(DIRECTORY "/links", &e), 0);
}

static void test_killed_writer(void **state)
{
    (void)state;
    struct error e;
    assert_int_equal(file_write(DIRECTORY "/a", "old", 3, &e), 0);
    pid_t child = fork();
    if (child == 0) {
        struct file_writer *w;
        if (!file_writer_create(&w, DIRECTORY "/a", NULL)) {
            fputs("new, half", file_writer_stream(w));
            fflush(file_writer_stream(w));
        }
        kill(getpid(), SIGKILL);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    check_content(DIRECTORY "/a", "old");
}

static void test_directories(void **state)
{
    (void)state;
    struct error e;
    assert_int_equal(directory_create(DIRECTORY "/x/y//z/", &e), 0);
    assert_int_equal(directory_create(DIRECTORY "/x/y", &e), 0);
    assert_int_equal(directory_sync(DIRECTORY "/x/y", &e), 0);
    assert_int_equal(directory_sync(DIRECTORY "/x/none", &e), -1);
    assert_true(directory_exists(DIRECTORY "/x/y/z"));
    assert_false(file_exists(DIRECTORY "/x"));
    assert_int_equal(file_write(DIRECTORY "/x/y/file", "1", 1, &e), 0);
    assert_true(file_exists(DIRECTORY "/x/y/file"));
    assert_false(directory_exists(DIRECTORY "/x/y/file"));
    assert_int_equal(directory_create(DIRECTORY "/x/y/file", &e), -1);
    assert_int_equal(directory_create(DIRECTORY "/x/y/file/deeper", &e), -1);
    assert_int_equal(symlink("../../..", DIRECTORY "/x/y/up"), 0); /* a link is removed, not what it leads to */
    assert_int_equal(directory_remove(DIRECTORY "/x", &e), 0);
    assert_int_equal(directory_remove(DIRECTORY "/x", &e), 0);
    check_only("");
    const char *const joins[][3] = {{"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"a", "/b", "/b"}, {"", "b", "b"}};
    for (int i = 0; i < 4; i++) {
        char *found = path_join(joins[i][0], joins[i][1]);
        assert_string_equal(found, joins[i][2]);
        free(found);
    }
}

static void check_full(int result, const struct error *e)
{
    assert_int_equal(result, -1);
    assert_int_equal(e->kind, ERROR_FAILED);
    if (!strstr(e->message, "No space left on device"))
        fail_msg("the cause is missing in: %s", e->message);
}

static void test_full_disk(void **state)
{
    (void)state;
    struct error e = {0};
    if (mount("none", DIRECTORY, "tmpfs", 0, "size=64k")) {
        print_message("skipped: a tmpfs cannot be mounted here\n");
        skip();
    }
    char *bytes = allocate(1 << 20, 1);
    memset(bytes, 'x', 1 << 20);
    assert_int_equal(file_write(DIRECTORY "/a", "old", 3, &e), 0);
    check_full(file_write(DIRECTORY "/a", bytes, 1 << 20, &e), &e);
    check_content(DIRECTORY "/a", "old");
    check_only("a ");

    struct file_writer *w; /* byte by byte, and the disk has been full for long when the commit asks */
    assert_int_equal(file_writer_create(&w, DIRECTORY "/a", &e), 0);
    for (int i = 0; i < 1 << 18; i++)
        fputc('x', file_writer_stream(w));
    errno = 0;
    check_full(file_writer_commit(&w, &e), &e);
    assert_null(w);
    check_content(DIRECTORY "/a", "old");
    check_only("a ");

    free(bytes);
    assert_int_equal(umount(DIRECTORY), 0);
}

/* Last: a stop that was asked for stays. */
static void a_stop_ends_a_writer_that_polls(void **state)
{
    (void)state;
    struct error e;
    struct file_writer *w;
    for (int stopped = 0; stopped < 2; stopped++) {
        assert_int_equal(file_writer_create(&w, DIRECTORY "/a", &e), 0);
        file_writer_polls(w);
        for (int i = 0; i < 20 << 20; i++)
            putc_unlocked('a' + stopped, file_writer_stream(w));
        if (stopped)
            stop_request();
        assert_int_equal(file_writer_commit(&w, &e), -stopped);
        assert_null(w);
        char *bytes;
        size_t size;
        assert_int_equal(file_read(&bytes, &size, DIRECTORY "/a", &e), 0);
        assert_int_equal(size, 20 << 20);
        assert_int_equal(bytes[size - 1], 'a');
        free(bytes);
        check_only("a ");
    }
    assert_int_equal(file_writer_create(&w, DIRECTORY "/a", &e), 0);
    fputs("written all the same", file_writer_stream(w));
    assert_int_equal(file_writer_commit(&w, &e), 0);
    check_content(DIRECTORY "/a", "written all the same");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_reading, fresh_directory, remove_directory),
        cmocka_unit_test_setup_teardown(test_wrong_names, fresh_directory, remove_directory),
        cmocka_unit_test_setup_teardown(test_writer, fresh_directory, remove_directory),
        cmocka_unit_test_setup_teardown(special_files_are_not_replaced, fresh_directory, remove_directory),
        cmocka_unit_test_setup_teardown(test_killed_writer, fresh_directory, remove_directory),
        cmocka_unit_test_setup_teardown(test_directories, fresh_directory, remove_directory),
        cmocka_unit_test_setup_teardown(test_full_disk, fresh_directory, remove_directory),
        cmocka_unit_test_setup_teardown(a_stop_ends_a_writer_that_polls, fresh_directory, remove_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
