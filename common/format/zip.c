/* SPDX-License-Identifier: Apache-2.0 */
#include "common/format/zip.h"

#include "common/base/file.h"
#include "common/base/memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zip.h>

enum { DOS_DATE = 1 << 5 | 1, FILE_MODE = 0100644 };

struct archive {
    zip_t *zip;
    const char *place;
};

/* A growing list of file names below a directory, and the directories still to be looked into. */
struct names {
    char **items;
    size_t count, capacity;
};

static void add_name(struct names *n, char *name)
{
    n->items = grow(n->items, &n->capacity, n->count + 1, sizeof *n->items);
    n->items[n->count++] = name;
}

static void free_names(struct names *n)
{
    for (size_t i = 0; i < n->count; i++)
        free(n->items[i]);
    free(n->items);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* `below`: of the directory listed, relative to the root; "" for the root. */
static int list_directory(const char *root, const char *below, struct names *files, struct names *directories, struct error *e)
{
    char *path = path_join(root, below);
    DIR *directory = opendir(path);
    int result = directory ? 0 : error_errno(e, errno, "%s: the directory cannot be read", path);
    for (struct dirent *entry; !result && (entry = readdir(directory));) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        char *name = *below ? path_join(below, entry->d_name) : duplicate(entry->d_name), *full = path_join(root, name);
        if (directory_exists(full))
            add_name(directories, name);
        else if (file_exists(full))
            add_name(files, name);
        else {
            result = error_set(e, ERROR_FAILED, "%s: is neither a file nor a directory and cannot be zipped", full);
            free(name);
        }
        free(full);
    }
    if (directory)
        closedir(directory);
    free(path);
    return result;
}

static int list_files(const char *root, struct names *files, struct error *e)
{
    struct names directories = {0};
    add_name(&directories, duplicate(""));
    int result = 0;
    for (size_t i = 0; !result && i < directories.count; i++)
        result = list_directory(root, directories.items[i], files, &directories, e);
    free_names(&directories);
    if (!result && !files->count)
        result = error_set(e, ERROR_FAILED, "%s: the directory holds no files to zip", root);
    if (!result)
        qsort(files->items, files->count, sizeof *files->items, compare_names);
    return result;
}

static bool ends_with(const char *text, const char *end)
{
    size_t size = strlen(text), end_size = strlen(end);
    return size >= end_size && !strcmp(text + size - end_size, end);
}

static int add_file(zip_t *zip, const char *directory, const char *top_name, const char *name, struct error *e)
{
    char *full = path_join(directory, name), *inside = format_string("%s/%s", top_name, name);
    zip_source_t *source = zip_source_file(zip, full, 0, -1);
    zip_int64_t index = source ? zip_file_add(zip, inside, source, ZIP_FL_ENC_UTF_8) : -1;
    zip_uint64_t at = (zip_uint64_t)index;
    int method = ends_with(name, ".safetensors") ? ZIP_CM_STORE : ZIP_CM_DEFLATE; /* weights do not get smaller */
    int result = 0;
    if (index < 0 || zip_set_file_compression(zip, at, method, 0) || zip_file_set_dostime(zip, at, 0, DOS_DATE, 0) ||
        zip_file_set_external_attributes(zip, at, 0, ZIP_OPSYS_UNIX, (zip_uint32_t)FILE_MODE << 16)) {
        result = error_set(e, ERROR_FAILED, "%s: cannot be put into the zip file: %s", full, zip_strerror(zip));
        if (source && index < 0)
            zip_source_free(source);
    }
    free(full);
    free(inside);
    return result;
}

/* libzip replaces the file under the writer's name by one of its own, which is what has to reach the disk. */
static int sync_file(const char *path, struct error *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC), result = 0;
    if (fd < 0 || file_sync(fd))
        result = error_errno(e, errno, "%s: cannot be written", path);
    if (fd >= 0)
        close(fd);
    return result;
}

static int write_archive(const char *temporary, const char *path, const char *directory, const char *top_name,
                         const struct names *files, struct error *e)
{
    int code = 0;
    zip_t *zip = zip_open(temporary, ZIP_CREATE | ZIP_TRUNCATE, &code);
    if (!zip) {
        zip_error_t error;
        zip_error_init_with_code(&error, code);
        error_set(e, ERROR_FAILED, "%s: cannot be written: %s", path, zip_error_strerror(&error));
        zip_error_fini(&error);
        return -1;
    }
    for (size_t i = 0; i < files->count; i++)
        if (add_file(zip, directory, top_name, files->items[i], e)) {
            zip_discard(zip);
            return -1;
        }
    if (zip_close(zip)) {
        error_set(e, ERROR_FAILED, "%s: cannot be written: %s", path, zip_strerror(zip));
        zip_discard(zip);
        return -1;
    }
    return sync_file(temporary, e);
}

int zip_directory(const char *path, const char *directory, const char *top_name, struct error *e)
{
    struct names files = {0};
    struct file_writer *w = NULL;
    int result = -1;
    if (!list_files(directory, &files, e) && !file_writer_create(&w, path, e) &&
        !write_archive(file_writer_path(w), path, directory, top_name, &files, e))
        result = file_writer_commit(&w, e);
    file_writer_destroy(&w);
    free_names(&files);
    return result;
}

bool archive_recognise(const void *bytes, size_t size)
{
    return size >= 4 && !memcmp(bytes, "PK\3\4", 4);
}

static int refuse(const char *place, struct error *e, zip_error_t *error)
{
    error_set(e, ERROR_DATA, "%s: is a damaged zip archive: %s; get it again", place, zip_error_strerror(error));
    zip_error_fini(error);
    return -1;
}

int archive_open(struct archive **ret, const void *bytes, size_t size, const char *place, struct error *e)
{
    zip_error_t error;
    zip_error_init(&error);
    zip_source_t *source = zip_source_buffer_create(bytes, size, 0, &error);
    if (!source)
        return refuse(place, e, &error);
    zip_t *zip = zip_open_from_source(source, ZIP_RDONLY, &error);
    if (!zip) {
        zip_source_free(source);
        return refuse(place, e, &error);
    }
    struct archive *a = allocate(1, sizeof *a);
    *a = (struct archive){zip, place};
    *ret = a;
    return 0;
}

void archive_close(struct archive **archive)
{
    struct archive *a = archive ? *archive : NULL;
    if (!a)
        return;
    zip_discard(a->zip);
    free(a);
    *archive = NULL;
}

size_t archive_count(const struct archive *a)
{
    zip_int64_t count = zip_get_num_entries(a->zip, 0);
    return count > 0 ? (size_t)count : 0;
}

const char *archive_name(const struct archive *a, size_t i)
{
    return zip_get_name(a->zip, i, ZIP_FL_ENC_RAW);
}

bool archive_find(const struct archive *a, const char *name, size_t *index, size_t *size)
{
    zip_stat_t facts;
    zip_int64_t found = zip_name_locate(a->zip, name, ZIP_FL_ENC_RAW);
    if (found < 0 || zip_stat_index(a->zip, (zip_uint64_t)found, 0, &facts) || !(facts.valid & ZIP_STAT_SIZE))
        return false;
    *index = (size_t)found;
    *size = facts.size;
    return true;
}

int archive_read(const struct archive *a, size_t index, void *to, size_t size, struct error *e)
{
    char extra;
    const char *name = archive_name(a, index);
    zip_file_t *file = zip_fopen_index(a->zip, index, 0);
    if (!file)
        return error_set(e, ERROR_DATA, "%s: entry %s cannot be read: %s; get the file again", a->place, name ? name : "?",
                         zip_strerror(a->zip));
    zip_int64_t got = zip_fread(file, to, size);
    zip_int64_t more = got < 0 ? -1 : zip_fread(file, &extra, 1); /* the end is where libzip checks the CRC */
    int result = 0;
    if (got != (zip_int64_t)size || more)
        result = error_set(e, ERROR_DATA, "%s: entry %s is damaged: %s; get the file again", a->place, name ? name : "?",
                           got < 0 || more < 0 ? zip_file_strerror(file) : "its size is not what the archive says");
    zip_fclose(file);
    return result;
}
