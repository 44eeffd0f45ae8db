/* Files: read, mapped, replaced whole or not at all; a full disk and wrong names say what they are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/file.h"
#include "common/base/memory.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define FOLDER "test_file.d"

static int fresh_folder(void **state)
{
    (void)state;
    return folder_remove(FOLDER, NULL) || folder_create(FOLDER, NULL);
}

static int remove_folder(void **state)
{
    (void)state;
    return folder_remove(FOLDER, NULL);
}

static void check_content(const char *path, const char *expected)
{
    struct error e;
    char *bytes;
    size_t size;
    if (file_read(&bytes, &size, path, &e))
        fail_msg("%s", e.text);
    assert_string_equal(bytes, expected);
    assert_int_equal(size, strlen(expected));
    free(bytes);
}

static void check_only(const char *files)
{
    char *command = format_text("test \"$(ls %s | tr '\\n' ' ')\" = '%s'", FOLDER, files);
    assert_int_equal(system(command), 0);
    free(command);
}

static void test_reading(void **state)
{
    (void)state;
    struct error e;
    struct file_map map;
    assert_int_equal(file_write(FOLDER "/a", "abc", 3, &e), 0);
    check_content(FOLDER "/a", "abc");
    assert_int_equal(file_map(&map, FOLDER "/a", &e), 0);
    assert_int_equal(map.size, 3);
    assert_memory_equal(map.data, "abc", 3);
    file_unmap(&map);
    file_unmap(&map);
    file_unmap(NULL);
    assert_int_equal(file_write(FOLDER "/a", "", 0, &e), 0);
    check_content(FOLDER "/a", "");
    assert_int_equal(file_map(&map, FOLDER "/a", &e), 0);
    assert_null(map.data);
    file_unmap(&map);
    assert_int_equal(file_write(FOLDER "/a", "xyz", 3, &e), 0);
    assert_int_equal(file_copy(FOLDER "/a", FOLDER "/b", &e), 0);
    check_content(FOLDER "/b", "xyz");
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
    if (!strstr(e.text, words) || !strstr(e.text, path))
        fail_msg("expected \"%s\" and \"%s\", found \"%s\"", path, words, e.text);
    assert_int_equal(file_map(&map, path, &e), -1);
    assert_int_equal(e.kind, ERROR_DATA);
    assert_null(bytes);
    assert_int_equal(size + map.size, 154);
}

static void test_wrong_names(void **state)
{
    (void)state;
    struct error e;
    refused(FOLDER "/none", "No such file");
    refused(FOLDER, "a folder");
    refused("/dev/null", "a device or pipe");
    assert_int_equal(mkfifo(FOLDER "/pipe", 0600), 0);
    refused(FOLDER "/pipe", "a device or pipe"); /* and does not wait for a writer */
    assert_int_equal(file_write(FOLDER "/none/a", "x", 1, &e), -1);
    assert_int_equal(e.kind, ERROR_FAILED);
    assert_non_null(strstr(e.text, "none/a"));
    assert_non_null(strstr(e.text, "No such file"));
    assert_int_equal(file_write(FOLDER, "x", 1, &e), -1); /* a folder is in the way */
    assert_true(folder_exists(FOLDER));
    assert_int_equal(file_write("", "x", 1, &e), -1);
    assert_int_equal(e.kind, ERROR_FAILED);
}

static void test_writer(void **state)
{
    (void)state;
    struct error e;
    struct file_writer *w;
    assert_int_equal(file_write(FOLDER "/a", "old", 3, &e), 0);
    assert_int_equal(file_writer_create(&w, FOLDER "/a", &e), 0);
    fputs("new, half", file_writer_stream(w));
    check_content(FOLDER "/a", "old");
    assert_true(file_exists(file_writer_path(w)));
    file_writer_destroy(&w);
    assert_null(w);
    file_writer_destroy(&w);
    check_content(FOLDER "/a", "old");
    check_only("a ");
    assert_int_equal(file_writer_create(&w, FOLDER "/a", &e), 0);
    fputs("new", file_writer_stream(w));
    assert_int_equal(file_writer_commit(&w, &e), 0);
    assert_null(w);
    check_content(FOLDER "/a", "new");
    check_only("a ");
}

/* A process killed while it writes leaves the old file. */
static void test_killed_writer(void **state)
{
    (void)state;
    struct error e;
    assert_int_equal(file_write(FOLDER "/a", "old", 3, &e), 0);
    pid_t child = fork();
    if (child == 0) {
        struct file_writer *w;
        if (!file_writer_create(&w, FOLDER "/a", NULL)) {
            fputs("new, half", file_writer_stream(w));
            fflush(file_writer_stream(w));
        }
        kill(getpid(), SIGKILL);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    check_content(FOLDER "/a", "old");
}

static void test_folders(void **state)
{
    (void)state;
    struct error e;
    assert_int_equal(folder_create(FOLDER "/x/y//z/", &e), 0);
    assert_int_equal(folder_create(FOLDER "/x/y", &e), 0);
    assert_int_equal(folder_sync(FOLDER "/x/y", &e), 0);
    assert_int_equal(folder_sync(FOLDER "/x/none", &e), -1);
    assert_true(folder_exists(FOLDER "/x/y/z"));
    assert_false(file_exists(FOLDER "/x"));
    assert_int_equal(file_write(FOLDER "/x/y/file", "1", 1, &e), 0);
    assert_true(file_exists(FOLDER "/x/y/file"));
    assert_false(folder_exists(FOLDER "/x/y/file"));
    assert_int_equal(folder_create(FOLDER "/x/y/file", &e), -1);
    assert_int_equal(folder_create(FOLDER "/x/y/file/deeper", &e), -1);
    assert_int_equal(symlink("../../..", FOLDER "/x/y/up"), 0); /* a link is removed, not what it leads to */
    assert_int_equal(folder_remove(FOLDER "/x", &e), 0);
    assert_int_equal(folder_remove(FOLDER "/x", &e), 0);
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
    if (!strstr(e->text, "No space left on device"))
        fail_msg("the cause is missing in: %s", e->text);
}

static void test_full_disk(void **state)
{
    (void)state;
    struct error e = {0};
    if (mount("none", FOLDER, "tmpfs", 0, "size=64k")) {
        print_message("skipped: a tmpfs cannot be mounted here\n");
        skip();
    }
    char *bytes = allocate(1 << 20, 1);
    memset(bytes, 'x', 1 << 20);
    assert_int_equal(file_write(FOLDER "/a", "old", 3, &e), 0);
    check_full(file_write(FOLDER "/a", bytes, 1 << 20, &e), &e);
    check_content(FOLDER "/a", "old");
    check_only("a ");

    struct file_writer *w; /* byte by byte, and the disk has been full for long when the commit asks */
    assert_int_equal(file_writer_create(&w, FOLDER "/a", &e), 0);
    for (int i = 0; i < 1 << 18; i++)
        fputc('x', file_writer_stream(w));
    errno = 0;
    check_full(file_writer_commit(&w, &e), &e);
    assert_null(w);
    check_content(FOLDER "/a", "old");
    check_only("a ");

    free(bytes);
    assert_int_equal(umount(FOLDER), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_reading, fresh_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_wrong_names, fresh_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_writer, fresh_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_killed_writer, fresh_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_folders, fresh_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_full_disk, fresh_folder, remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
