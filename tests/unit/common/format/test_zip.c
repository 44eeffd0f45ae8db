/* SPDX-License-Identifier: Apache-2.0 */
/* Zip archives: a directory comes back file by file, the bytes are the same each time, Python's zipfile (where there is one)
 * finds no fault, and what cannot be zipped leaves nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/base/sha256.h"
#include "common/format/zip.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <utime.h>

static char *directory;

static const struct {
    const char *name;
    size_t size;
} files[] = {{"config.json", 5000}, {"empty", 0}, {"model.safetensors", 300000}, {"sub/deeper/x.txt", 17}, {"sub/ключ.txt", 3}};

enum { FILES = sizeof files / sizeof *files };

static char *contents(size_t i)
{
    char *bytes = allocate(files[i].size + 1, 1);
    for (size_t k = 0; k < files[i].size; k++)
        bytes[k] = (char)(k * k / (i + 3) % 251);
    return bytes;
}

static char *inside(const char *name)
{
    return path_join(directory, name);
}

static int make_directory(void **state)
{
    (void)state;
    struct error e;
    char name[] = "/tmp/muster-test-XXXXXX";
    directory = mkdtemp(name) ? duplicate(name) : NULL;
    char *deep = inside("in/sub/deeper");
    int result = directory_create(deep, &e);
    free(deep);
    for (size_t i = 0; !result && i < FILES; i++) {
        char *in = inside("in"), *path = path_join(in, files[i].name), *bytes = contents(i);
        result = file_write(path, bytes, files[i].size, &e);
        free(in);
        free(path);
        free(bytes);
    }
    return result;
}

static int remove_directory(void **state)
{
    (void)state;
    struct error e;
    int result = directory_remove(directory, &e);
    free(directory);
    return result;
}

static void zip_it(const char *name)
{
    struct error e = {0};
    char *path = inside(name), *in = inside("in");
    if (zip_directory(path, in, "bundle", &e))
        fail_msg("%s", e.message);
    free(path);
    free(in);
}

static void comes_back(void **state)
{
    (void)state;
    struct error e = {0};
    struct archive *a;
    char *path = inside("a.zip"), *bytes;
    size_t size;
    zip_it("a.zip");
    assert_int_equal(file_read(&bytes, &size, path, &e), 0);
    if (archive_open(&a, bytes, size, path, &e))
        fail_msg("%s", e.message);
    assert_int_equal(archive_count(a), FILES);
    for (size_t i = 0; i < FILES; i++) {
        size_t index, found;
        char *name = format_string("bundle/%s", files[i].name), *expected = contents(i);
        assert_true(archive_find(a, name, &index, &found));
        assert_int_equal(found, files[i].size);
        assert_int_equal(index, i); /* sorted */
        char *data = allocate(found, 1);
        if (archive_read(a, index, data, found, &e))
            fail_msg("%s", e.message);
        assert_memory_equal(data, expected, found);
        assert_int_equal(archive_read(a, index, data, found ? found - 1 : 1, &e), -1);
        free(data);
        free(name);
        free(expected);
    }
    size_t index, found;
    assert_false(archive_find(a, "bundle/absent", &index, &found));
    archive_close(&a);
    archive_close(&a);
    free(bytes);
    free(path);
}

static void same_content_same_bytes(void **state)
{
    (void)state;
    struct error e;
    char first[SHA256_HEX], second[SHA256_HEX];
    char *a = inside("a.zip"), *b = inside("b.zip"), *touched = inside("in/config.json");
    zip_it("a.zip");
    assert_int_equal(utime(touched, &(struct utimbuf){1000000000, 1000000000}), 0);
    assert_int_equal(chmod(touched, 0600), 0);
    zip_it("b.zip");
    assert_int_equal(sha256_file(a, first, &e), 0);
    assert_int_equal(sha256_file(b, second, &e), 0);
    assert_string_equal(first, second);
    zip_it("a.zip"); /* over an old one */
    assert_int_equal(sha256_file(a, first, &e), 0);
    assert_string_equal(first, second);
    free(a);
    free(b);
    free(touched);
}

static void python_reads_it(void **state)
{
    (void)state;
    zip_it("a.zip");
    char *command =
        format_string("cd %s && python3 -c 'import zipfile as z, os; a = z.ZipFile(\"a.zip\"); assert a.testzip() is None;"
                      " i = a.infolist(); assert len(i) == %d and all(x.date_time == (1980, 1, 1, 0, 0, 0) for x in i), i;"
                      " assert all(x.external_attr >> 16 == 0o100644 for x in i);"
                      " assert i[2].compress_type == 0 and i[0].compress_type == 8;"
                      " a.extractall(\"out\")' && diff -r in out/bundle",
                      directory, FILES);
    if (system("python3 -c pass 2>/dev/null")) {
        print_message("skipped: no python3\n");
        skip();
    }
    assert_int_equal(system(command), 0);
    free(command);
}

/* A directory of only `expected` entries: no temporary file stays. */
static void expect_entries(const char *expected)
{
    char *command = format_string("test \"$(ls -A %s | tr '\\n' ' ')\" = '%s'", directory, expected);
    if (system(command))
        fail_msg("expected the directory to hold '%s' alone", expected);
    free(command);
}

static void failures_leave_nothing(void **state)
{
    (void)state;
    struct error e = {0};
    char *in = inside("in"), *empty = inside("empty"), *path = inside("a.zip"), *nowhere = inside("no/such/a.zip");
    assert_int_equal(zip_directory(nowhere, in, "bundle", &e), -1);
    assert_non_null(strstr(e.message, "no/such/a.zip"));
    expect_entries("in ");
    assert_int_equal(directory_create(empty, &e), 0);
    assert_int_equal(zip_directory(path, empty, "bundle", &e), -1);
    assert_non_null(strstr(e.message, "holds no files"));
    expect_entries("empty in ");
    assert_int_equal(zip_directory(path, nowhere, "bundle", &e), -1);
    expect_entries("empty in ");
    char *command = format_string("mkfifo %s/in/pipe", directory);
    assert_int_equal(system(command), 0);
    assert_int_equal(zip_directory(path, in, "bundle", &e), -1);
    assert_non_null(strstr(e.message, "pipe"));
    expect_entries("empty in ");
    free(command);
    free(in);
    free(empty);
    free(path);
    free(nowhere);
}

static void refuses_damaged_archives(void **state)
{
    (void)state;
    struct error e = {0};
    struct archive *a;
    char *path = inside("a.zip"), *bytes;
    size_t size, index, found;
    zip_it("a.zip");
    assert_int_equal(file_read(&bytes, &size, path, &e), 0);
    assert_int_equal(archive_open(&a, bytes, size - 1, path, &e), -1);
    assert_int_equal(e.kind, ERROR_DATA);
    assert_non_null(strstr(e.message, path));
    char *data = memmem(bytes, size, "bundle/model.safetensors", 24);
    data[24 + 1000] ^= 1; /* in the stored bytes: the CRC tells */
    assert_int_equal(archive_open(&a, bytes, size, path, &e), 0);
    assert_true(archive_find(a, "bundle/model.safetensors", &index, &found));
    char *to = allocate(found, 1);
    assert_int_equal(archive_read(a, index, to, found, &e), -1);
    if (e.kind != ERROR_DATA || !strstr(e.message, "bundle/model.safetensors") || !strstr(e.message, "CRC"))
        fail_msg("expected the entry's name and CRC, found '%s'", e.message);
    archive_close(&a);
    free(to);
    free(bytes);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(comes_back, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(same_content_same_bytes, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(python_reads_it, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(failures_leave_nothing, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(refuses_damaged_archives, make_directory, remove_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
