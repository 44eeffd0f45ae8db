/* SPDX-License-Identifier: Apache-2.0 */
/* Files: read whole, mapped, and written so that a crash at any moment leaves the old file or the new one, never a part.
 * Messages name the path; a directory in place of a file, an empty name or a missing directory is said as such. */
#pragma once

#include "common/base/error.h"

#include <stddef.h>
#include <stdio.h>

/* Whole file into memory, NUL appended behind `size` bytes. Caller frees. A missing or unreadable file is ERROR_DATA. */
int file_read(char **ret, size_t *size, const char *path, struct error *e);

/* A new file that has no name and goes when it is closed, of TMPDIR or /tmp: its descriptor, or -1. ERROR_FAILED. */
int file_temporary(struct error *e);

/* Read-only mapping. An empty file maps to size 0 with data NULL. */
struct file_map {
    const void *data;
    size_t size;
};
int file_map(struct file_map *ret, const char *path, struct error *e);
void file_map_rest(const struct file_map *map); /* its pages need not stay resident for now */
void file_unmap(struct file_map *map);          /* NULL-safe, idempotent */

/* write and fsync of an open descriptor, whole, whatever signals arrive in between (a stop is polled for elsewhere): 0, or -1
 * with errno. A short write without an error is ENOSPC. */
int file_write_all(int fd, const void *bytes, size_t size);
int file_sync(int fd);

/* An atomic writer: bytes go to "<path>.<pid>.tmp", commit does fsync, rename over `path`, fsync of the directory.
 * Destroying without commit removes the temporary file. A symbolic link stays, and what it points to is replaced; a device, a
 * pipe or a socket is never replaced: it is opened and written in place, at once. */
struct file_writer;
int file_writer_create(struct file_writer **ret, const char *path, struct error *e);
FILE *file_writer_stream(struct file_writer *w);           /* borrowed until commit or destroy */
const char *file_writer_path(const struct file_writer *w); /* the temporary name, for libraries that open by name; of what is
                                                            * written in place its own */
/* Of large files: bytes go to disk while they are written, and commit polls stop_check: ERROR_STOPPED, nothing is in place. */
void file_writer_polls(struct file_writer *w);
int file_writer_commit(struct file_writer **w, struct error *e); /* consumes *w also on failure */
/* The same without waiting for the disk: before anything relies on the file, file_sync_named and directory_sync. */
int file_writer_commit_unsynced(struct file_writer **w, struct error *e);
void file_writer_destroy(struct file_writer **w);

/* Whether a writer of `path` could be created, asked before the work: nothing is left behind, and a pipe is not opened. */
int file_check_writable(const char *path, struct error *e);

int file_write(const char *path, const void *bytes, size_t size, struct error *e); /* whole file, atomically */
int file_copy(const char *from, const char *to, struct error *e);                  /* atomically */

int file_sync_named(const char *path, struct error *e);
int directory_create(const char *path, struct error *e); /* with parents; an existing directory is fine */
int directory_sync(const char *path, struct error *e);   /* renames in it survive a power cut */
int directory_remove(const char *path, struct error *e); /* with all in it; a missing one is fine */
bool file_exists(const char *path);                      /* a regular file */
bool directory_exists(const char *path);
bool directory_holds(const char *directory, const char *name); /* a regular file of this name */
char *path_resolve(const char *path, struct error *e);         /* absolute, links followed; caller frees. ERROR_DATA: not there */
char *path_absolute(const char *path);                         /* by the working directory; need not be there; caller frees */
char *path_directory(const char *path);                        /* that it lies in, "." where it names none; caller frees */
char *path_join(const char *directory, const char *name);      /* caller frees; an absolute name is returned as it is */
