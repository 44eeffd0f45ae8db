/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/file.h"

#include "common/base/fault.h"
#include "common/base/memory.h"
#include "common/base/stop.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define WRITE_BUFFER 65536

struct file_writer {
    char *path;
    char *temporary; /* NULL: written in place */
    int file;
    FILE *stream; /* writes to `file` */
    bool polls;
    off_t written, begun; /* bytes that went to the kernel in order; of these, on their way to the disk */
    char buffer[WRITE_BUFFER];
};

/* An open descriptor of a regular file for reading, with its size. */
static int open_for_reading(int *ret, size_t *size, const char *path, struct error *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe is refused below, rather than waited for */
    struct stat facts;
    if (fd < 0 || fstat(fd, &facts)) {
        int number = errno;
        if (fd >= 0)
            close(fd);
        return error_set(e, ERROR_DATA, "%s: cannot be read: %s", path, strerror(number));
    }
    if (!S_ISREG(facts.st_mode)) {
        close(fd);
        return error_set(e, ERROR_DATA, "%s: is %s, not a file; name a file", path,
                         S_ISDIR(facts.st_mode) ? "a directory" : "a device or pipe");
    }
    *ret = fd;
    *size = (size_t)facts.st_size;
    return 0;
}

int file_read(char **ret, size_t *size, const char *path, struct error *e)
{
    int fd;
    size_t total;
    if (open_for_reading(&fd, &total, path, e))
        return -1;
    char *bytes = allocate(total + 1, 1);
    size_t done = 0;
    while (done < total) {
        ssize_t n = read(fd, bytes + done, total - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            error_errno(e, errno, "%s: cannot be read", path);
            close(fd);
            free(bytes);
            return -1;
        }
        if (n == 0)
            break;
        done += (size_t)n;
    }
    close(fd);
    bytes[done] = 0;
    *ret = bytes;
    *size = done;
    return 0;
}

int file_temporary(struct error *e)
{
    const char *base = getenv("TMPDIR");
    char *name = format_string("%s/muster.XXXXXX", base && *base ? base : "/tmp");
    int file = mkostemp(name, O_CLOEXEC);
    if (file < 0)
        error_errno(e, errno, "%s: no temporary file can be made (TMPDIR)", name);
    else
        unlink(name);
    free(name);
    return file;
}

int file_map(struct file_map *ret, const char *path, struct error *e)
{
    int fd;
    size_t size;
    if (open_for_reading(&fd, &size, path, e))
        return -1;
    void *data = size ? mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0) : NULL;
    int number = errno;
    close(fd);
    if (data == MAP_FAILED)
        return error_errno(e, number, "%s: cannot be mapped", path);
    *ret = (struct file_map){data, size};
    return 0;
}

void file_map_rest(const struct file_map *map)
{
    if (map->data)
        madvise((void *)(uintptr_t)map->data, map->size, MADV_DONTNEED);
}

void file_unmap(struct file_map *map)
{
    if (map && map->data)
        munmap((void *)(uintptr_t)map->data, map->size);
    if (map)
        *map = (struct file_map){0};
}

char *path_directory(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return duplicate(".");
    return slash == path ? duplicate("/") : format_string("%.*s", (int)(slash - path), path);
}

int file_write_all(int fd, const void *bytes, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = write(fd, (const char *)bytes + done, size - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0)
            errno = ENOSPC;
        if (n <= 0)
            return -1;
        done += (size_t)n;
    }
    return 0;
}

int file_sync(int fd)
{
    int result;
    do {
        result = fsync(fd);
    } while (result && errno == EINTR);
    return result;
}

/* ---- the atomic writer ---- */

#define SYNCED_AT_ONCE ((off_t)8 << 20) /* bytes: what a slow disk writes within a second */

static void begin_sync(struct file_writer *w)
{
    while (w->polls && w->written - w->begun >= SYNCED_AT_ONCE) {
        sync_file_range(w->file, w->begun, SYNCED_AT_ONCE, SYNC_FILE_RANGE_WRITE); /* fsync tells what went wrong */
        w->begun += SYNCED_AT_ONCE;
    }
}

/* stdio gives up on a write that a signal interrupts, as network file systems allow; so the stream writes through us. */
static ssize_t write_through(void *cookie, const char *bytes, size_t size)
{
    struct file_writer *w = cookie;
    if (file_write_all(w->file, bytes, size))
        return 0; /* an error, as fopencookie has it */
    w->written += (off_t)size;
    begin_sync(w);
    return (ssize_t)size;
}

static int seek_through(void *cookie, off64_t *offset, int whence)
{
    const struct file_writer *w = cookie;
    off_t at = lseek(w->file, (off_t)*offset, whence);
    *offset = at;
    return at < 0 ? -1 : 0;
}

static int open_writer(struct file_writer *w)
{
    static const cookie_io_functions_t functions = {.write = write_through, .seek = seek_through};
    int number = fault_write();
    int flags = O_WRONLY | O_CLOEXEC | (w->temporary ? O_CREAT | O_TRUNC : 0);
    w->file = number ? -1 : open(w->temporary ? w->temporary : w->path, flags, 0666);
    if (w->file < 0)
        return number ? number : errno;
    w->stream = fopencookie(w, "w", functions);
    number = errno;
    if (!w->stream)
        close(w->file);
    return w->stream ? 0 : number;
}

/* Where the symbolic links of `path` end, also if nothing is there yet. Caller frees. */
static char *follow_links(const char *path)
{
    char *at = duplicate(path), target[4096];
    for (int links = 0; links < 16; links++) {
        ssize_t size = readlink(at, target, sizeof target - 1);
        if (size <= 0)
            break;
        target[size] = 0;
        char *directory = path_directory(at), *next = path_join(directory, target);
        free(directory);
        free(at);
        at = next;
    }
    return at;
}

static bool is_special(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0 && !S_ISREG(about.st_mode) && !S_ISDIR(about.st_mode);
}

int file_writer_create(struct file_writer **ret, const char *path, struct error *e)
{
    if (directory_exists(path))
        return error_set(e, ERROR_FAILED, "%s: cannot be written: it is a directory", path);
    struct file_writer *w = allocate(1, sizeof *w);
    w->path = follow_links(path);
    w->temporary = is_special(w->path) ? NULL : format_string("%s.%d.tmp", w->path, (int)getpid());
    int number = open_writer(w);
    if (number) {
        error_errno(e, number, "%s: cannot be written", path);
        free(w->path);
        free(w->temporary);
        free(w);
        return -1;
    }
    setvbuf(w->stream, w->buffer, _IOFBF, sizeof w->buffer);
    *ret = w;
    return 0;
}

FILE *file_writer_stream(struct file_writer *w)
{
    return w->stream;
}

const char *file_writer_path(const struct file_writer *w)
{
    return w->temporary ? w->temporary : w->path;
}

/* Pipes and most devices have nothing to sync. */
static int sync_writer(const struct file_writer *w)
{
    return file_sync(w->file) && (w->temporary || (errno != EINVAL && errno != EROFS && errno != ENOTSUP)) ? -1 : 0;
}

void file_writer_polls(struct file_writer *w)
{
    w->polls = true;
}

/* What fsync would wait for, some at a time. */
static int sync_in_pieces(const struct file_writer *w, struct error *e)
{
    const unsigned whole = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
    for (off_t at = 0; w->polls && at < w->written; at += SYNCED_AT_ONCE) {
        if (stop_check(e))
            return -1;
        if (sync_file_range(w->file, at, SYNCED_AT_ONCE, whole) && (errno == EIO || errno == ENOSPC || errno == EDQUOT))
            return error_errno(e, errno, "%s: cannot be written", w->path);
    }
    return w->polls ? stop_check(e) : 0;
}

/* errno is told at once; where an earlier write failed it has been used since, and a full disk is the likeliest cause. */
static int flush_writer(const struct file_writer *w, bool synced, struct error *e)
{
    int flushed = fflush(w->stream);
    if (!flushed && synced && sync_in_pieces(w, e))
        return -1;
    if (flushed || (synced && sync_writer(w)))
        return error_errno(e, errno, "%s: cannot be written", w->path);
    return ferror(w->stream) ? error_errno(e, ENOSPC, "%s: cannot be written", w->path) : 0;
}

static int put_in_place(const struct file_writer *w, bool synced, struct error *e)
{
    if (!w->temporary)
        return 0;
    if (rename(w->temporary, w->path))
        return error_errno(e, errno, "%s: cannot be put in place", w->path);
    char *directory = path_directory(w->path);
    int result = synced ? directory_sync(directory, e) : 0;
    free(directory);
    return result;
}

static int commit(struct file_writer **writer, bool synced, struct error *e)
{
    int result = flush_writer(*writer, synced, e) || put_in_place(*writer, synced, e) ? -1 : 0;
    file_writer_destroy(writer);
    return result;
}

int file_writer_commit(struct file_writer **w, struct error *e)
{
    return commit(w, true, e);
}

int file_writer_commit_unsynced(struct file_writer **w, struct error *e)
{
    return commit(w, false, e);
}

void file_writer_destroy(struct file_writer **writer)
{
    struct file_writer *w = writer ? *writer : NULL;
    if (!w)
        return;
    fclose(w->stream);
    close(w->file);
    if (w->temporary)
        unlink(w->temporary); /* already gone after a rename */
    free(w->path);
    free(w->temporary);
    free(w);
    *writer = NULL;
}

int file_check_writable(const char *path, struct error *e)
{
    struct file_writer *w;
    if (is_special(path))
        return access(path, W_OK) ? error_errno(e, errno, "%s: cannot be written", path) : 0;
    if (file_writer_create(&w, path, e))
        return -1;
    file_writer_destroy(&w);
    return 0;
}

int file_write(const char *path, const void *bytes, size_t size, struct error *e)
{
    struct file_writer *w;
    if (file_writer_create(&w, path, e))
        return -1;
    if (size) /* an empty file has no bytes to point at */
        fwrite(bytes, 1, size, w->stream);
    return file_writer_commit(&w, e);
}

int file_copy(const char *from, const char *to, struct error *e)
{
    struct file_map map;
    if (file_map(&map, from, e))
        return -1;
    int result = file_write(to, map.data, map.size, e);
    file_unmap(&map);
    return result;
}

int directory_create(const char *path, struct error *e)
{
    char *copy = duplicate(path);
    int result = 0;
    for (char *at = copy + 1; !result; at++) {
        if (*at && *at != '/')
            continue;
        char kept = *at;
        *at = 0;
        if (mkdir(copy, 0777) && errno != EEXIST)
            result = error_errno(e, errno, "%s: the directory cannot be created", copy);
        *at = kept;
        if (!kept)
            break;
    }
    free(copy);
    if (!result && !directory_exists(path))
        return error_set(e, ERROR_FAILED, "%s: is not a directory; choose another name", path);
    return result;
}

static int sync_named(const char *path, int flags, struct error *e)
{
    int fd = open(path, flags | O_CLOEXEC), result = 0;
    if (fd < 0 || (file_sync(fd) && errno != EINVAL)) /* EINVAL: a file system that has no such thing */
        result = error_errno(e, errno, "%s: cannot be synced to disk", path);
    if (fd >= 0)
        close(fd);
    return result;
}

int file_sync_named(const char *path, struct error *e)
{
    return sync_named(path, O_RDONLY, e);
}

int directory_sync(const char *path, struct error *e)
{
    return sync_named(path, O_RDONLY | O_DIRECTORY, e);
}

int directory_remove(const char *path, struct error *e)
{
    DIR *directory = opendir(path);
    if (!directory)
        return errno == ENOENT ? 0 : error_errno(e, errno, "%s: cannot be removed", path);
    int result = 0;
    for (struct dirent *entry; !result && (entry = readdir(directory));) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        char *name = path_join(path, entry->d_name);
        struct stat facts;
        if (!lstat(name, &facts) && S_ISDIR(facts.st_mode))
            result = directory_remove(name, e);
        else if (unlink(name))
            result = error_errno(e, errno, "%s: cannot be removed", name);
        free(name);
    }
    closedir(directory);
    if (!result && rmdir(path))
        result = error_errno(e, errno, "%s: cannot be removed", path);
    return result;
}

bool file_exists(const char *path)
{
    struct stat facts;
    return !stat(path, &facts) && S_ISREG(facts.st_mode);
}

bool directory_exists(const char *path)
{
    struct stat facts;
    return !stat(path, &facts) && S_ISDIR(facts.st_mode);
}

bool directory_holds(const char *directory, const char *name)
{
    char *path = path_join(directory, name);
    bool found = file_exists(path);
    free(path);
    return found;
}

char *path_resolve(const char *path, struct error *e)
{
    char *full = realpath(path, NULL);
    if (!full)
        error_errno(e, errno, "%s: cannot be found", path);
    return full;
}

char *path_absolute(const char *path)
{
    char here[PATH_MAX];
    return path[0] == '/' || !getcwd(here, sizeof here) ? duplicate(path) : path_join(here, path);
}

char *path_join(const char *directory, const char *name)
{
    if (name[0] == '/')
        return duplicate(name);
    size_t size = strlen(directory);
    return format_string("%s%s%s", directory, !size || directory[size - 1] == '/' ? "" : "/", name);
}
